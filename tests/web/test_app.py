"""The application, called without a server: the contract of requests and answers."""

import json
import time
import uuid
from typing import Any

import gevent
import pytest
from gevent import Timeout
from werkzeug.test import Client, TestResponse

from app import g_app
from decorator import url_map
from server import Server
from utils.context import deadline
from utils.errors import OverloadError, ProcessError, ServiceError, UnavailableError

ORDER = b'{"order_id":12345}'
KEYS = ["uuid", "err_msg", "err_code", "data"]


def post(client: Client, body: bytes = ORDER, **options: Any) -> TestResponse:
    return client.post("/test", data=body, **options)


def envelope(response: TestResponse) -> dict[str, Any]:
    """Check what every envelope promises, and return it."""
    assert response.mimetype == "application/json"
    answer: dict[str, Any] = json.loads(response.data)
    assert [key for key in answer if key != "order_id"] == KEYS
    assert answer["uuid"] == response.headers["X-Request-ID"]
    return answer


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the method of /test raise."""

    def make(error: BaseException) -> None:
        def api_test(self: Server, request: Any) -> None:
            raise error

        monkeypatch.setattr(Server, "api_test", api_test)

    return make


def test_an_order_is_answered_in_the_order_of_the_contract(client: Client) -> None:
    response = post(client)
    answer = envelope(response)
    assert response.status_code == 200
    assert list(answer) == ["order_id", *KEYS]
    assert (answer["order_id"], answer["err_msg"], answer["err_code"]) == (12345, "ok", 0)
    assert answer["data"]["result"] in (-1, 0, 1)
    assert isinstance(answer["data"]["timestamp"], int)


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_the_body_is_json_whatever_its_type(client: Client, content_type: str) -> None:
    assert post(client, content_type=content_type).status_code == 200


@pytest.mark.parametrize(
    ("body", "err_code", "reason"),
    [
        (b"", -2, "no body"),
        (b" ", -2, "not JSON"),
        (b"order", -2, "not JSON"),
        (b'{"order_id":1', -2, "not JSON"),
        (b'{"order_id":1}x', -2, "not JSON"),
        (b'{"order_id":NaN}', -2, "not JSON"),
        (b'{"order_id":1,"note":NaN}', -2, "not JSON"),
        (b'{"order_id":1,"note":"\\ud800"}', -2, "not JSON"),
        (b'{"order_id":1,"note":"\xff"}', -2, "not JSON"),
        (b'\xef\xbb\xbf{"order_id":1}', -2, "not JSON"),
        (b"[1]", -2, "not a JSON object"),
        (b"null", -2, "not a JSON object"),
        (b"[" * 100_000, -2, "not a JSON object"),
        (b'{"note":' + b"[" * 100_000, -2, "nested too deeply"),
        (b"{}", -4, "order_id: missing"),
        (b'{"order_id":12345.5}', -4, "order_id: expected int"),
        (b'{"order_id":true}', -4, "order_id: expected int"),
        (b'{"order_id":null}', -4, "order_id: expected int"),
        (b'{"order_id":""}', -4, "order_id: expected int"),
        (b'{"order_id":" 1"}', -4, "order_id: expected int"),
        (b'{"order_id":[1]}', -4, "order_id: expected int"),
        (b'{"order_id":{}}', -4, "order_id: expected int"),
        (b'{"order_id":0}', -4, "order_id: expected int >= 1"),
        (b'{"order_id":18446744073709551616}', -4, "order_id: the integer does not fit"),
        (b'{"order_id":"18446744073709551616"}', -4, "order_id: the integer does not fit"),
        (b'{"order_id":1e30}', -4, "order_id: "),
        (b'{"order_id":1e999}', -4, "order_id: number out of range"),
        (b'{"order_id":' + b"9" * 10_000 + b"}", -4, "order_id: "),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_unusable_body_is_refused(
    client: Client, body: bytes, err_code: int, reason: str
) -> None:
    response = post(client, body)
    answer = envelope(response)
    assert (response.status_code, answer["err_code"], answer["data"]) == (400, err_code, None)
    assert reason in answer["err_msg"]


@pytest.mark.parametrize(
    ("body", "order_id"),
    [
        (b'{"order_id":"12345"}', 12345),
        (b'{"order_id":1,"unknown":{"a":[1e999]}}', 1),
        (b'{"order_id":18446744073709551615}', 18446744073709551615),
        ('{"order_id":1,"note":"müßig 订单"}'.encode(), 1),
    ],
)
def test_a_usable_body_is_read(client: Client, body: bytes, order_id: int) -> None:
    assert envelope(post(client, body))["order_id"] == order_id


def test_a_body_over_the_limit_is_refused(client: Client) -> None:
    limit = 1 << 20
    assert post(client, ORDER + b" " * (limit - len(ORDER))).status_code == 200
    response = post(client, ORDER + b" " * limit)
    assert (response.status_code, envelope(response)["err_code"]) == (413, 413)


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


@pytest.mark.parametrize("host", ["exa mple", "a/b", "<x>", ""])
def test_a_bad_host_is_refused(client: Client, host: str) -> None:
    response = post(client, headers={"Host": host})
    assert response.status_code == envelope(response)["err_code"] == 400


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


@pytest.mark.parametrize(
    "error",
    [ValueError("secret"), ServiceError("secret"), SystemExit("secret"), Timeout(1), KeyError()],
    ids=repr,
)
def test_an_unforeseen_error_tells_the_client_nothing(
    client: Client, raising: Any, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    raising(error)
    response = post(client)
    answer = envelope(response)
    assert (response.status_code, answer["err_code"]) == (500, -1)
    assert answer["err_msg"] == "server error"
    assert any(record.exc_info and record.exc_info[1] is error for record in caplog.records)


@pytest.mark.parametrize(
    ("error", "status", "err_code", "retry"),
    [
        (ProcessError("sold out"), 422, -3, None),
        (UnavailableError("mysql is away"), 503, -5, "1"),
        (OverloadError(), 503, -7, "1"),
    ],
)
def test_a_service_error_is_its_envelope(
    client: Client, raising: Any, error: ServiceError, status: int, err_code: int, retry: str | None
) -> None:
    raising(error)
    response = post(client)
    answer = envelope(response)
    assert (response.status_code, answer["err_code"]) == (status, err_code)
    assert answer["err_msg"] == str(error)
    assert response.headers.get("Retry-After") == retry


@pytest.mark.parametrize("error", [ProcessError("sold out"), ValueError()])
def test_a_refusal_echoes_what_the_request_named(
    client: Client, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def process(self: Any) -> None:
        raise error

    monkeypatch.setattr("api.TestApi.process", process)
    assert list(envelope(post(client))) == ["order_id", *KEYS]


def test_each_request_is_one_line_in_the_log(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    post(client)
    post(client, b"{}")
    client.get("/nowhere")
    lines = [record.getMessage().split(maxsplit=4) for record in caplog.records]
    assert [line[:4] for line in lines] == [
        ["POST", "/test", "200", "0"],
        ["POST", "/test", "400", "-4"],
        ["GET", "/nowhere", "404", "404"],
    ]
    assert all(0 <= float(line[4].split()[0]) < 1000 for line in lines)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the method of /test wait for ever."""
    monkeypatch.setattr(Server, "api_test", lambda self, request: gevent.sleep(60))


@pytest.mark.parametrize(("sent", "seconds"), [("200", 0.2), ("50", 0.05), ("0", 0)])
def test_a_caller_may_want_a_smaller_deadline(
    client: Client, slow: None, sent: str, seconds: float
) -> None:
    started = time.monotonic()
    response = post(client, headers={"X-Request-Timeout-Ms": sent})
    assert seconds <= time.monotonic() - started < seconds + 0.05
    assert response.status_code == 504
    assert envelope(response)["err_code"] == -6


def test_a_deadline_ends_with_its_request(client: Client) -> None:
    post(client)
    assert deadline.get(None) is None


def test_a_route_may_have_a_deadline_of_its_own(
    client: Client, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (rule,) = [rule for rule in url_map.iter_rules() if rule.endpoint == "api_test"]
    monkeypatch.setattr(rule, "timeout", 0.1)
    for sent in ("60000", "-1", "soon", "1e1", ""):
        response = post(client, headers={"X-Request-Timeout-Ms": sent})
        assert envelope(response)["err_code"] == -6


def test_a_timeout_that_is_not_the_deadline_is_unforeseen(client: Client, raising: Any) -> None:
    raising(Timeout(5))
    assert envelope(post(client))["err_code"] == -1
