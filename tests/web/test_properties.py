"""Whatever is thrown at `/test` comes back as an envelope, and never as a server error."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client, TestResponse

from app import g_app
from tests.support.service import Service

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
ORDERS = st.fixed_dictionaries({"order_id": JSON}).map(json.dumps).map(str.encode)
BODIES = st.binary() | JSON.map(json.dumps).map(str.encode) | ORDERS
TOKENS = st.text("!#$%&'*+-.^`|~0123456789abcXYZ", min_size=1, max_size=20)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])


def check(status: int, head: Any, body: bytes, method: str = "POST") -> None:
    """Check that this is an envelope and no server error."""
    assert 200 <= status < 500
    assert head["Content-Type"] == "application/json"
    if method != "HEAD":
        answer = json.loads(body)
        assert [*answer][-4:] == ["uuid", "err_msg", "err_code", "data"]
        assert answer["uuid"] == head["X-Request-ID"]
        assert (answer["err_code"] == 0) == (status == 200)


def check_response(response: TestResponse, method: str = "POST") -> None:
    check(response.status_code, response.headers, response.data, method)


@given(BODIES)
@settings(max_examples=500, deadline=None)
def test_any_body_is_answered_by_an_envelope(body: bytes) -> None:
    check_response(Client(g_app).post("/test", data=body))


@given(METHODS, st.text(max_size=50), BODIES)
@settings(max_examples=300, deadline=None)
def test_any_method_and_path_are_answered_by_an_envelope(
    method: str, path: str, body: bytes
) -> None:
    path = "/" + path.encode("utf-8", "replace").decode().lstrip("/")
    environ = {"PATH_INFO": path.encode().decode("latin-1")}
    response = Client(g_app).open(method=method, data=body, environ_overrides=environ)
    check_response(response, method)


@given(st.dictionaries(TOKENS, VALUES, max_size=5), BODIES)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_header_is_answered_by_an_envelope(
    running: Service, headers: dict[str, str], body: bytes
) -> None:
    lines = [b"POST /test HTTP/1.1", b"Host: x", b"Connection: close"]
    lines += [f"{name}: {value}".encode("latin-1") for name, value in headers.items()]
    lines += [b"Content-Length: %d" % len(body), b"", body]
    check_raw(running.exchange(b"\r\n".join(lines)))


@given(st.binary(min_size=1, max_size=300))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_bytes_that_are_no_request_are_answered_by_an_envelope_or_not_at_all(
    running: Service, data: bytes
) -> None:
    answer = running.exchange(data + b"\r\n\r\n", half_close=True)
    if answer:
        check_raw(answer)


def check_raw(answer: bytes) -> None:
    """Check the first response."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    check(int(status.split()[1]), headers, body[: int(headers["Content-Length"])])
