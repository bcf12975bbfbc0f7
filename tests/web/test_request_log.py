"""Each request is one line in the log; that of a refusal says what was wrong, and with what."""

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.exceptions import Gone
from werkzeug.test import Client

from server import Server
from tests.support.messages import exchange, post, with_length
from tests.support.service import Service
from utils.web import Envelope, Request

ORDER = b'{"order_id":1}'
LARGE = ORDER + b" " * 20_000


def test_each_request_is_one_line(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    peer = {"REMOTE_ADDR": "203.0.113.7"}
    client.post("/test", data=ORDER, environ_overrides=peer)
    client.post("/test", data=b"{}", environ_overrides=peer)
    client.get("/nowhere", environ_overrides=peer)
    lines = [record.getMessage().split(maxsplit=6) for record in caplog.records]
    assert [[*line[:4], *line[5:]] for line in lines] == [
        ["POST", "/test", "200", "0", "203.0.113.7"],
        ["POST", "/test", "400", "-4", "203.0.113.7", "order_id: missing"],
        ["GET", "/nowhere", "404", "404", "203.0.113.7", "not found: no route for '/nowhere'"],
    ]
    assert all(0 <= float(line[4]) < 1000 for line in lines)
    fields = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    names = ["method", "route", "status", "err_code", "ms", "client"]
    assert [[*entry] for entry in fields] == [
        names,
        [*names, "err_msg"],
        [*names, "err_msg", "detail"],
    ]


@pytest.mark.parametrize(
    ("data", "status", "message", "detail"),
    [
        (with_length("/nowhere", ORDER), 404, "not found", "no route for '/nowhere'"),
        (
            with_length("/test", ORDER).replace(b"POST", b"PUT", 1),
            405,
            "method not allowed",
            "'PUT', allowed: OPTIONS, POST",
        ),
        (post("/test", host="a b"), 400, "bad request", "the Host is malformed"),
        (post("/test?a=%FF"), 400, "bad request", "the URL is not UTF-8: '/test'"),
        (
            with_length("/test", LARGE),
            413,
            "request entity too large",
            f"Content-Length {len(LARGE)}, allowed: 10000",
        ),
        (
            post("/test", "Transfer-Encoding: chunked", body=b"4e20\r\n" + b" " * 20_000),
            413,
            "request entity too large",
            "chunked, allowed: 10000 bytes",
        ),
        (
            with_length("/test", ORDER, "Content-Encoding: br"),
            415,
            "unsupported media type",
            "Content-Encoding 'br'",
        ),
        (
            with_length("/read/get_json_of_its_type", ORDER, "Content-Type: text/xml"),
            415,
            "unsupported media type",
            "Content-Type 'text/xml', not JSON",
        ),
        (with_length("/read/argument", ORDER), 400, "bad request", "no parameter 'a'"),
        (
            post("/test", "Transfer-Encoding: snail"),
            400,
            "bad request",
            "Unsupported transfer coding; POST /test",
        ),
        (post("/test", "Expect: much"), 417, "expectation failed", "Unable to comply with "),
        (b"nonsense\r\n\r\n", 400, "bad request", "Invalid HTTP request line"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_the_log_says_more_than_the_client_is_told(
    reading: Service, data: bytes, status: int, message: str, detail: str
) -> None:
    got, _, envelope = exchange(reading, data, half_close=True)
    assert (got, envelope["err_msg"]) == (status, message)
    (line,) = [line for line in reading.log().splitlines() if envelope["uuid"] in line]
    assert f" 127.0.0.1 {message}: {detail}" in line


FORGED = "x 200 0 1.5 10.9.9.9 ok shop=8 status=200 \" 'y"


@pytest.mark.parametrize(
    "path",
    [
        "/x%20200%200%201.5%20ok",
        "/x%0Aforged",
        "/x%E2%80%A8forged",
        "/x%C2%A0200%E3%80%80200",
        f"/{'x' * 3000}",
        f"/{'%20' * 1000}",
        "/%22%20shop=8%20status=200",
        f"/{quote(FORGED)}",
    ],
    ids=lambda path: path[:20],
)
def test_what_a_client_sent_cannot_forge_a_line_or_a_field(reading: Service, path: str) -> None:
    data = post(path, "Content-Length: 0", f"X-Request-ID: {FORGED}", f"X-Forwarded-For: {FORGED}")
    envelope = exchange(reading, data)[2]
    (line,) = [line for line in reading.log().splitlines() if envelope["uuid"] in line]
    assert line.isprintable()
    assert line.split()[7:9] == ["404", "404"]
    assert line.split()[10] == "127.0.0.1"
    assert "=" not in line
    assert len(line) < 700


def test_a_field_of_a_route_cannot_forge_another_one(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def api_test(self: Server, request: Request) -> None:
        request.log_fields.update({"shop": FORGED, FORGED: "\u202e"})
        raise Gone(FORGED)

    monkeypatch.setattr(Server, "api_test", api_test)
    client.post("/test", data=ORDER)
    (line,) = caplog.messages
    assert re.findall(r" ([^\s=]+)=", line) == ["shop", "'y\""]
    assert line.split()[:4:3] == ["POST", "410"]


def test_a_route_may_raise_an_error_of_werkzeug(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def api_test(self: Server, request: Any) -> None:
        raise Gone("order 7 was deleted")

    monkeypatch.setattr(Server, "api_test", api_test)
    response = client.post("/test", data=ORDER)
    assert response.json is not None
    assert (response.status_code, response.json["err_msg"]) == (410, "gone")
    assert caplog.messages[0].endswith("gone: order 7 was deleted")


FIELDS = {
    "shop": 7,
    "price": 1.5,
    "name": "north",
    "note": 'a "b"\n2026 forged=1',
    "empty": "",
    "none": None,
    "huge": float("inf"),
    "long": 10**400,
    "two words": True,
    "status": 200,
    "err_msg": "forged",
    "time": "forged",
}


class Broken:
    """An object that has no text."""

    def __str__(self) -> str:
        raise KeyError("shop")


def test_a_route_adds_fields_of_its_own_but_replaces_none(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def api_test(self: Server, request: Request) -> None:
        request.log_fields.update(FIELDS)
        raise Gone("order 7 was deleted")

    monkeypatch.setattr(Server, "api_test", api_test)
    client.post("/test", data=ORDER)
    client.get("/nowhere")
    assert caplog.messages[0].partition("deleted ")[2] == (
        'shop=7 price=1.5 name=north note="a \\"b\\"\\n2026 forged\\u003d1"'
        ' empty="" none=None huge=inf'
        f' long={10**400} "two words"=True'
    )
    assert "shop" not in caplog.messages[1]
    fields = caplog.records[0].fields  # type: ignore[attr-defined]
    assert (fields["status"], fields["err_msg"], "time" in fields) == (410, "gone", False)
    assert (fields["shop"], fields["price"], fields["note"]) == (7, 1.5, FIELDS["note"])


@pytest.mark.parametrize("value", [10**5000, Broken()], ids=["huge", "broken"])
def test_a_field_without_a_text_does_not_lose_the_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: object
) -> None:
    caplog.set_level("INFO")

    def api_test(self: Server, request: Request) -> Envelope:
        request.log_fields["shop"] = value
        return Envelope(request.uuid, {})

    monkeypatch.setattr(Server, "api_test", api_test)
    assert client.post("/test", data=ORDER).status_code == 200
    assert f'shop="{type(value).__name__} without a text' in caplog.messages[-1]


def test_json_has_each_as_a_field(service: Service) -> None:
    service.env["LOG_FORMAT"] = "json"
    own = 'request.log_fields.update(shop=7, level="forged")'
    service.add_route("own", f"{own}; return Envelope(request.uuid, {{}})")
    service.sh("start", check=True)
    service.request("/nowhere")
    service.request("/own")
    entries = [json.loads(line) for line in service.log().splitlines()]
    (entry,) = [entry for entry in entries if entry.get("route") == "/nowhere"]
    shown = [entry[name] for name in ("status", "client", "err_msg", "detail")]
    assert shown == [404, "127.0.0.1", "not found", "no route for '/nowhere'"]
    (entry,) = [entry for entry in entries if entry.get("route") == "/own"]
    assert (entry["shop"], entry["level"]) == (7, "INFO")
