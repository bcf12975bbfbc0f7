"""No body makes a request hold up all others: what would take long to build is refused before."""

import datetime
import uuid
from decimal import Decimal
from typing import Any, Literal

import gevent
import pytest
from msgspec import Raw, Struct
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.test import Client, EnvironBuilder

from decorator import routes
from tests.support.apis import api_of, read, respond
from utils.errors import MalformedError, ServiceError
from utils.web import Request
from utils.web.body import decode_json
from utils.web.fields import decoder_of

FORM, PARTS = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
MANY = 100_000
PRIME = (1 << 61) - 1  # Python's hash of a number is its rest by this one
TOO_MUCH = "request entity too large"


class Node(Struct):
    """A tree."""

    leaves: "list[Node]" = []


class Line(Struct):
    """A value in a value."""

    price: float = 0
    note: str = ""


def array(item: str, count: int = MANY) -> str:
    """Return an array that has this item so many times."""
    return f"[{','.join([item] * count)}]"


UUIDS = ",".join(f'"{uuid.UUID(int=number * PRIME)}"' for number in range(1, 2000))
LONG = ",".join(str(number * PRIME) for number in range(10, 2000))
KEYS = ",".join(f'"{number * PRIME}":1' for number in range(10, 2000))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Any, array("0")),
        (Any, array("[]")),
        (Any, array("{}")),
        (Any, array('""')),
        (Any, array(r'"\""')),
        (Any, array(r'"\\"')),
        (Any, array("[" * 50 + "]" * 50, MANY // 50)),
        (Any, "{" + ",".join(f'"{key}":0' for key in range(MANY)) + "}"),
        (dict[str, Any], f'{{"a":{array("0")}}}'),
        (list[int], array("0")),
        (list[int], array(" 0\n")),
        (list[float], array("0")),
        (list[Decimal], array("0.1", 16_000)),
        (list[datetime.datetime], array('"2026-01-02T12:00:00Z"', 16_000)),
        (list[uuid.UUID], array(f'"{uuid.UUID(int=1)}"', 16_000)),
        (list[Literal["a"]], array('"a"')),
        (set[int], array("0")),
        (Node, f'{{"leaves":{array("{}")}}}'),
        (list[Line], array("{}")),
        (list[list[str]], array("[]")),
        (list[float], array("1e308", 2000)),
        (list[float], array(" -1.5E-0320", 2000)),
        (list[float], array('"1e308"', 2000)),
        (list[float], array("0." + "0" * 300 + "1", 2000)),
        (list[float], array("1" + "0" * 300, 2000)),
        (list[Line], array('{"note":"","price":1e308}', 2000)),
        (dict[str, float], f'{{"a":{",".join(["1e308"] * 2000)}}}'.replace(",", ',"a":')),
        (set[uuid.UUID], f"[{UUIDS}]"),
        (dict[uuid.UUID, int], "{" + UUIDS.replace(",", ":1,") + ":1}"),
        (set[int], f"[{LONG}]"),
        (set[Decimal], f"[{LONG}]"),
        (dict[int, int], f"{{{KEYS}}}"),
        (set[tuple[int, int]], array("[1,2]", 2000)),
        (set[Decimal], array("12.5e9", 2000)),
        (dict[Decimal, int], "{" + array('"12.5e9":1', 2000)[1:-1] + "}"),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("params", [{}, {"user_id": 7}])
def test_what_is_much_work_is_refused_before_it_is_done(
    annotation: Any, value: str, params: Any
) -> None:
    assert read(api_of(annotation), f'{{"value":{value}}}'.encode(), **params) == TOO_MUCH


PARCEL = '"00340434161094021501"'  # an SSCC, the number of a parcel
CSV = '"' + "12345678901234567890,1e308,[{" * 30_000 + '"'
QUOTED = '"' + r"\"a\":[1e308,\\" * 30_000 + '"'


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (list[int], array("7", 12_000)),
        (list[float], array("0.30000000000000004", 12_000)),
        (list[float], array("1e308", 500)),
        (list[str], array(PARCEL, 12_000)),
        (dict[str, str], f'{{"a":{CSV}}}'),
        (list[Line], f'[{{"note":{CSV}}}]'),
        (str, CSV),
        (str, QUOTED),
        (Any, QUOTED),
        (Raw, array("1e308")),
        (float, "1" * 100_000),
        (Decimal, "1" * 100_000),
        (set[int], "[" + ",".join(map(str, range(12_000))) + "]"),
        (set[uuid.UUID], f"[{UUIDS[: 39 * 300 - 1]}]"),
        (Any, " " * 900_000 + "0"),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("params", [{}, {"user_id": 7}])
def test_what_is_little_work_is_read_however_long_it_is(
    annotation: Any, value: str, params: Any
) -> None:
    assert read(api_of(annotation), f'{{"value":{value}}}'.encode(), **params) != TOO_MUCH


@pytest.mark.parametrize("item", ["0", "1e308", "[]", "{}", '""', "9" * 40, '{"a":1}'])
@pytest.mark.parametrize("params", [{}, {"user_id": 7}])
def test_a_field_that_nobody_knows_is_skipped(item: str, params: Any) -> None:
    body = f'{{"unknown":{array(item)},"value":1}}'.encode()
    assert read(api_of(int), body, **params) == 1


def test_members_that_nobody_knows_are_skipped() -> None:
    members = ",".join(f'"{key}":0' for key in range(MANY))
    assert read(api_of(int), f'{{"value":1,{members}}}'.encode(), user_id=7) == 1


def test_get_json_refuses_it_as_well() -> None:
    for body in (array("0"), "[" * 1_000_000):
        with pytest.raises(ServiceError, match=TOO_MUCH):
            decode_json(body.encode(), 20_000)
    assert len(decode_json(array("0").encode(), MANY)) == MANY


def test_a_refusal_repeats_no_long_field_and_builds_none() -> None:
    api = api_of(list[float])
    api.echoed = ("value", "user_id")
    decoder_of.cache_clear()
    for item, echoed in (("1e308", {}), ("0.5", {"value": [0.5] * 9})):
        count = 9 if echoed else MANY
        body = f'{{"user_id":"x","value":{array(item, count)}}}'
        status, answer = respond(api, body=body.encode())
        assert status in (400, 413)
        assert {name: answer[name] for name in ("value", "user_id") if name in answer} == echoed


def test_a_413_says_what_is_allowed(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    response = client.post("/test", data=f'{{"order_id":{array("0")}}}')
    assert response.json is not None
    assert (response.status_code, response.json["err_code"]) == (413, 413)
    assert caplog.messages[0].endswith("JSON as much work as more than 15000 values")


@pytest.mark.parametrize("depth", [*range(900, 1100, 5), 5000])
def test_a_value_as_deep_as_it_can_be_is_no_server_error(depth: int) -> None:
    for item in ("0", "", '"x"'):
        body = f'{{"value":{"[" * depth}{item}{"]" * depth}}}'
        status, _ = respond(api_of(Any), body=body.encode())
        assert status in (200, 400)


@pytest.mark.parametrize("form", ["a=1&" * 1000, "&" * 1000, "a=" + "%41" * 20_001, "%" * 20_001])
def test_a_form_that_is_much_work_is_refused_before_it_is_done(form: str) -> None:
    request = form_request(form.encode())
    with pytest.raises(RequestEntityTooLarge, match="20000 escapes"):
        _ = request.form
    assert form_request(form.encode()[4:]).form is not None


def form_request(body: bytes) -> Request:
    environ = EnvironBuilder(method="POST", data=body, content_type=FORM).get_environ()
    return Request(environ)


def test_others_have_their_turns_while_a_body_is_parsed() -> None:
    turns = []

    def other() -> None:
        while True:
            turns.append(1)
            gevent.sleep(0)

    environ = EnvironBuilder(method="POST", data=b"\r\n" * 200_000, content_type=PARTS)
    request = Request(environ.get_environ())
    request.content.reader()  # now it is received
    greenlet = gevent.spawn(other)
    with pytest.raises(MalformedError):
        _ = request.form
    greenlet.kill()
    assert len(turns) > 5


def test_a_route_may_allow_more(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    body = f'{{"order_id":{array("0")}}}'
    assert client.post("/test", data=body).status_code == 413
    monkeypatch.setattr(routes["api_test"], "max_body_values", MANY)
    assert client.post("/test", data=body).status_code == 400
