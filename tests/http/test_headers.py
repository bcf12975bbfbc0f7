"""Which headers go with a call, and which never do."""

import base64
from pathlib import Path

import gevent
import pytest

from tests.support.faulty import Faulty
from utils.context import baggage, request_deadline, request_uuid, traceparent, tracestate
from utils.dev.servers import free_port
from utils.http import Upstream

PASSED_ON = {"x-request-id", "x-request-timeout-ms", "traceparent", "tracestate", "baggage"}


def call_within_a_request(upstream: Upstream) -> None:
    def call() -> None:
        request_uuid.set("the-uuid")
        traceparent.set(f"00-{'a' * 32}-{'b' * 16}-01")
        tracestate.set("vendor=1")
        baggage.set("user=7")
        with request_deadline(30):
            upstream.get("/echo/1", headers={"x-request-id": "another", "X-Extra": "1"})

    gevent.spawn(call).get()


def test_the_request_its_trace_and_its_time_go_on_to_the_upstream(faulty: Faulty) -> None:
    call_within_a_request(Upstream("warehouse", faulty.url, total_timeout=60))
    headers = faulty.requests[0].headers
    assert headers["x-request-id"] == "the-uuid"
    assert 0 < int(headers["x-request-timeout-ms"]) <= 30_000
    version, trace_id, parent, flags = headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", "a" * 32, "01")
    assert parent != "b" * 16
    assert (headers["tracestate"], headers["baggage"]) == ("vendor=1", "user=7")
    assert headers["x-extra"] == "1"


def test_a_third_party_gets_nothing_of_the_request(faulty: Faulty) -> None:
    call_within_a_request(Upstream("stripe", faulty.url, total_timeout=60, propagate=False))
    headers = faulty.requests[0].headers
    assert set(headers) & PASSED_ON == {"x-request-id"}
    assert headers["x-request-id"] == "another"  # the caller's own


def test_headers_of_an_upstream_go_with_each_call(faulty: Faulty) -> None:
    Upstream("warehouse", faulty.url, headers={"X-Key": "k"}).get("/echo/1")
    assert faulty.requests[0].headers["x-key"] == "k"


def test_the_user_and_password_of_a_url_go_into_a_header(faulty: Faulty) -> None:
    url = faulty.url.replace("//", "//m%C3%BC:p%40ss@")
    Upstream("warehouse", url).get("/echo/1")
    scheme, code = faulty.requests[0].headers["authorization"].split()
    assert (scheme, base64.b64decode(code).decode()) == ("Basic", "mü:p@ss")


def test_cookies_are_neither_kept_nor_sent(faulty: Faulty, upstream: Upstream) -> None:
    faulty.location = "/echo/there"
    upstream.get("/cookie")
    upstream.get("/redirect/302")
    upstream.get("/echo/1")
    assert len(faulty.requests) == 4
    assert all("cookie" not in request.headers for request in faulty.requests)


def test_cookies_are_not_even_parsed(upstream: Upstream) -> None:
    response = upstream.get("/odd_cookie")
    assert response.status == 200
    assert response.headers["set-cookie"].startswith("a=b; Max-Age=999")


def test_nothing_is_taken_from_the_environment(
    faulty: Faulty, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert upstream.get("/echo/1").status == 200
    assert "authorization" not in faulty.requests[0].headers


@pytest.mark.parametrize(
    "headers",
    [
        {"A": "b\r\nc: d"},
        {"A": "b\nc"},
        {"A\r\nb": "c"},
        {"A:": "b"},
        {"A": "订"},
        {"订": "a"},
        {"A": 1},
    ],
)
def test_headers_that_cannot_be_sent_are_the_caller_s_fault(
    faulty: Faulty, upstream: Upstream, headers: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"^header .* cannot be sent"):
        upstream.post("/echo/1", headers=headers)
    assert faulty.connections == 0


@pytest.mark.parametrize("method", ["GE T", "GET\r\nEvil: 1", "", "订", "GET /evil HTTP/1.1\r\n"])
def test_methods_that_cannot_be_sent_are_the_caller_s_fault(
    faulty: Faulty, upstream: Upstream, method: str
) -> None:
    with pytest.raises(ValueError, match="expected a method"):
        upstream.request(method, "/echo/1")
    assert faulty.requests == []
