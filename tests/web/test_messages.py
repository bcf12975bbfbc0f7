"""However much a client sends, a message and a log line hold a few dozen characters of it."""

import enum
from typing import Annotated, Any, Literal
from urllib.parse import quote

import pytest
from msgspec import Meta, Struct
from werkzeug.test import Client

from server import Server
from tests.support.apis import api_of
from utils.errors import ProcessError
from utils.web import Request

LONG = "x" * 100_000
FEW = 50  # characters


class Color(enum.Enum):
    """Text with few values."""

    RED = "red"


class Cash(Struct, tag="cash"):
    """One of two."""


class Card(Struct, tag="card"):
    """The other."""


class Name(Struct):
    """A Struct with a check of its own, which says what it got."""

    text: str

    def __post_init__(self) -> None:
        raise ValueError(f"no name: {self.text}")


QUOTES = LONG + "' - at `$" * 1000
ESCAPED = r"\ud83d\ude00" * 10_000
DIGITS = "9" * 4000


@pytest.mark.parametrize(
    ("annotation", "body"),
    [
        (Literal["a", "b"], f'{{"value":"{LONG}"}}'),
        (Literal["a", "b"], f'{{"value":"{QUOTES}"}}'),
        (Literal["a", "b"], f'{{"value":"{ESCAPED}"}}'),
        (dict[Literal["a"], int], f'{{"value":{{"{LONG}":1}}}}'),
        (dict[int, int], f'{{"value":{{"{LONG}":1}}}}'),
        (dict[int, Any], f'{{"value":{{"{DIGITS}":1}}}}'),
        (Any, '{"value":' + '{"' + LONG + '":' + "9" * 40 + "}}"),
        (Any, '{"value":' + "[" * 500 + "9" * 40 + "]" * 500 + "}"),
        (Color, f'{{"value":"{LONG}"}}'),
        (Cash | Card, f'{{"value":{{"type":"{LONG}"}}}}'),
        (int, f'{{"value":"{LONG}"}}'),
        (Annotated[str, Meta(pattern="^a$")], f'{{"value":"{LONG}"}}'),
        (int, f'{{"value":1,"{LONG}":1}}'),
        (int, f'{{"value":1}}{LONG}'),
        (int, f'{{"value":1,{LONG}'),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("path", ["/test", "/test?a=b"])
def test_a_message_about_a_field_holds_little_of_it(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    annotation: Any,
    body: str,
    path: str,
) -> None:
    caplog.set_level("INFO")
    api = api_of(annotation, forbid_unknown_fields=True)
    params = {"user_id": 7} if "?" in path else {}

    def api_test(self: Server, request: Request) -> Any:
        return self.respond(api, request, **params)

    monkeypatch.setattr(Server, "api_test", api_test)
    check(client.post(path, data=body.encode("utf-8", "surrogatepass")), caplog)


@pytest.mark.parametrize(
    "options",
    [
        {"path": "/" + quote(LONG)},
        {"path": f"/test/{LONG}"},
        {"method": "X" * 1000},
        {"headers": {"Host": LONG}},
        {"headers": {"Host": "a b" + LONG}},
        {"headers": {"Content-Encoding": LONG}},
        {"headers": {"X-Request-ID": LONG}},
        {"headers": {"X-Forwarded-For": LONG}},
        {"environ_overrides": {"PATH_INFO": "/\xff" + LONG}},
        {"environ_overrides": {"QUERY_STRING": "\xff" + LONG}},
    ],
    ids=lambda options: str(options)[:40],
)
def test_a_message_about_a_request_holds_little_of_it(
    client: Client, caplog: pytest.LogCaptureFixture, options: Any
) -> None:
    caplog.set_level("INFO")
    caplog.clear()
    options = {"method": "POST", "path": "/test", "data": b"", **options}
    check(client.open(**options), caplog)


def test_a_message_of_ones_own_is_cut(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def api_test(self: Server, request: Request) -> None:
        raise ProcessError(f"no such shop: {LONG}", detail=LONG)

    monkeypatch.setattr(Server, "api_test", api_test)
    response = client.post("/test")
    assert len(response.data) < 400
    assert len(caplog.messages[0]) < 600
    body = f'{{"value":{{"text":"{LONG}"}}}}'.encode()
    api = api_of(Name)
    monkeypatch.setattr(Server, "api_test", lambda self, request: self.respond(api, request))
    response = client.post("/test", data=body)
    assert (response.status_code, len(response.data) < 400) == (400, True)


def check(response: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Check that this is a refusal, and that neither it nor the log repeats the request."""
    assert 400 <= response.status_code < 500
    head = "".join(f"{name}: {value}" for name, value in response.headers)
    assert len(response.data) + len(head) < 1000
    for text in (response.get_data(as_text=True), head, response.json["err_msg"]):
        assert not any(char * FEW in text for char in "x9😀")
    assert "x" * 300 not in caplog.text
    assert all(len(line) < 1000 for line in caplog.text.splitlines())
