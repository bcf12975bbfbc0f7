"""The application, called without a server: the contract of requests and answers."""

import json
import uuid
from typing import Any

import pytest
from gevent import Timeout
from werkzeug.test import Client

from app import g_app
from decorator import url_map
from server import Server
from tests.support.envelopes import KEYS, envelope, post
from utils.context import outbound_headers
from utils.web import Envelope, Request, Response, Service


def test_an_order_is_answered_in_the_order_of_the_contract(client: Client) -> None:
    response = post(client)
    answer = envelope(response)
    assert response.status_code == 200
    assert list(answer) == ["order_id", *KEYS]
    assert (answer["order_id"], answer["err_msg"], answer["err_code"]) == (12345, "ok", 0)
    assert answer["data"]["result"] in (-1, 0, 1)
    assert isinstance(answer["data"]["timestamp"], int)


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/nowhere", 404, None),
        ("GET", "/", 404, None),
        ("POST", "//test", 404, None),
        ("POST", "/test/x", 404, None),
        ("GET", "/test", 405, "OPTIONS, POST"),
        ("DELETE", "/test", 405, "OPTIONS, POST"),
        ("BREW", "/test", 405, "OPTIONS, POST"),
        ("OPTIONS", "/nowhere", 404, None),
    ],
)
def test_http_refusals_are_envelopes(
    client: Client, method: str, path: str, status: int, allow: str | None
) -> None:
    response = client.open(path, method=method)
    assert response.status_code == envelope(response)["err_code"] == status
    assert response.headers.get("Allow") == allow


@pytest.mark.parametrize(
    "path", ["//test", "///test", "//x/test", "/x/../test", "/./test", "/test;a"]
)
def test_a_path_is_matched_as_it_is_written(client: Client, path: str) -> None:
    response = client.post("/", data=b'{"order_id":1}', environ_overrides={"PATH_INFO": path})
    assert response.status_code == 404


@pytest.mark.parametrize("path", ["/test", "*"])
def test_options_tells_the_methods(path: str) -> None:
    routes = [rule for rule in url_map.iter_rules() if path in ("*", rule.rule)]
    methods = {"OPTIONS"}.union(*(rule.methods or () for rule in routes))
    environ = {
        "REQUEST_METHOD": "OPTIONS",
        "PATH_INFO": path,
        "SERVER_NAME": "s",
        "SERVER_PORT": "80",
        "HTTP_HOST": "s",
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
    }
    seen: list[Any] = []
    body = b"".join(g_app(environ, lambda status, headers: seen.extend([status, dict(headers)])))
    assert seen[0] == "200 OK"
    assert seen[1]["Allow"] == ", ".join(sorted(methods))
    assert json.loads(body)["err_code"] == 0


@pytest.mark.parametrize("supplied", ["a", "A-z_0.9:x", "x" * 128])
def test_the_callers_request_id_is_taken(client: Client, supplied: str) -> None:
    assert envelope(post(client, headers={"X-Request-ID": supplied}))["uuid"] == supplied
    refused = client.get("/test", headers={"X-Request-ID": supplied})
    assert envelope(refused)["uuid"] == supplied


@pytest.mark.parametrize("supplied", ["", "x" * 129, "a b", "ä", 'a"b', "a/b", "a,b"])
def test_a_malformed_request_id_is_replaced(client: Client, supplied: str) -> None:
    given = envelope(post(client, headers={"X-Request-ID": supplied}))["uuid"]
    assert str(uuid.UUID(given)) == given


def test_every_request_has_its_own_uuid(client: Client) -> None:
    assert len({envelope(post(client))["uuid"] for _ in range(50)}) == 50


def test_the_callers_trace_goes_on_and_ends_with_its_request(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def api_test(self: Server, request: Request) -> Envelope:
        return Envelope(request.uuid, {}, outbound_headers(1))

    monkeypatch.setattr(Server, "api_test", api_test)
    sent = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "congo=t61rcWkgMzE",
        "baggage": "user=7",
    }
    first, second = (envelope(post(client, headers=headers))["data"] for headers in (sent, {}))
    assert first["traceparent"][:36] == sent["traceparent"][:36]
    assert (first["tracestate"], first["baggage"]) == (sent["tracestate"], sent["baggage"])
    assert second["traceparent"][:36] != sent["traceparent"][:36]
    assert not {"tracestate", "baggage"} & set(second)


@pytest.mark.parametrize("path", ["/test", "/nowhere"])
def test_every_answer_has_the_headers_of_after_request(
    client: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def after_request(self: Server, request: Request, response: Response) -> None:
        Service.after_request(self, request, response)
        response.headers["X-Shop"] = "7"

    monkeypatch.setattr(Server, "after_request", after_request)
    for method in ("POST", "PUT", "OPTIONS"):
        headers = client.open(path, method=method, headers={"X-Request-ID": "a"}).headers
        assert (headers["X-Shop"], headers["X-Request-ID"]) == ("7", "a")


@pytest.mark.parametrize("error", [KeyError("shop"), SystemExit(1), Timeout(1)])
def test_a_fault_in_after_request_does_not_lose_the_answer(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
) -> None:
    def after_request(self: Server, request: Request, response: Response) -> None:
        raise error

    monkeypatch.setattr(Server, "after_request", after_request)
    response = post(client)
    assert (response.status_code, envelope(response)["err_code"]) == (200, 0)
    assert response.headers["X-Request-ID"] == envelope(response)["uuid"]
    assert "after_request failed" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [("Shop", "\u8ba2"), ("Shop", "a\0"), ("Shop", "a\x7fb"), ("X Shop", "7"), ("Shop:", "7")],
)
def test_a_header_that_cannot_be_sent_loses_neither_the_answer_nor_others(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    value: str,
) -> None:
    def after_request(self: Server, request: Request, response: Response) -> None:
        response.headers.add(name, value)
        response.headers.add("Shop", "north")

    monkeypatch.setattr(Server, "after_request", after_request)
    response = post(client)
    assert (response.status_code, response.headers.getlist("Shop")) == (200, ["north"])
    assert name == "Shop" or name not in response.headers
    assert f"header '{name}' is left out" in caplog.text


def test_a_route_that_returns_no_response_is_named_in_the_log(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Server, "api_test", lambda self, request: {"result": 1})
    assert envelope(post(client))["err_code"] == -1
    assert "api_test returned dict, not a Response" in caplog.text
