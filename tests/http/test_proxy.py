"""Calls through a proxy: forwarded over http, tunnelled over https."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faulty import Faulty
from tests.support.http_proxy import HTTPProxy
from tests.support.service import certify
from utils.errors import UnavailableError
from utils.http import Upstream


@pytest.fixture
def proxy() -> Iterator[HTTPProxy]:
    proxy = HTTPProxy("me", "p@ss")
    yield proxy
    proxy.server.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certify(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def secure(certificate: tuple[Path, Path]) -> Iterator[Faulty]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = Faulty(ssl_context=context)
    yield server
    server.stop()


def test_a_call_over_http_is_forwarded(faulty: Faulty, proxy: HTTPProxy) -> None:
    upstream = Upstream("warehouse", faulty.url, proxy=f"http://me:p%40ss@{proxy.address}")
    response = upstream.post("/echo", "a/b", json=1, params={"q": "1"}, headers={"X-Key": "k"})
    assert response.decode() == {"id": "a%2Fb"}
    (request,) = faulty.requests
    assert (request.target, request.body) == ("/echo/a%2Fb?q=1", b"1")
    assert request.headers["x-key"] == "k"
    assert "proxy-authorization" not in request.headers
    assert proxy.heads[0].startswith(f"POST {faulty.url}/echo/a%2Fb?q=1 HTTP/1.1\r\n")


def test_a_call_over_https_is_tunnelled(
    secure: Faulty, proxy: HTTPProxy, certificate: tuple[Path, Path]
) -> None:
    address = f"http://me:p%40ss@{proxy.address}"
    upstream = Upstream("warehouse", secure.url, proxy=address, ca_file=str(certificate[0]))
    for number in range(3):
        response = upstream.post(f"/echo/{number}", headers={"X-Key": "k"})
        assert response.decode() == {"id": str(number)}
    # The proxy sees where to, and who asks; the upstream does not see the proxy's password.
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT 127.0.0.1:{secure.port} HTTP/1.")
    assert "x-key" not in head.lower()
    assert all("proxy-authorization" not in request.headers for request in secure.requests)
    upstream.session().close()


def test_a_tunnel_is_renewed_with_its_connection(
    secure: Faulty, proxy: HTTPProxy, certificate: tuple[Path, Path]
) -> None:
    upstream = Upstream(
        "warehouse",
        secure.url,
        proxy=f"http://me:p%40ss@{proxy.address}",
        ca_file=str(certificate[0]),
        max_age=0,
    )
    for _ in range(3):
        upstream.post("/echo/1")
    assert (len(proxy.heads), len(secure.requests)) == (3, 3)
    upstream.session().close()


def test_a_redirect_goes_through_the_proxy_too(faulty: Faulty, proxy: HTTPProxy) -> None:
    faulty.location = "/echo/there#fragment"
    upstream = Upstream("warehouse", faulty.url, proxy=f"http://me:p%40ss@{proxy.address}")
    assert upstream.get("/redirect/302").decode() == {"id": "there"}
    assert proxy.heads[1].startswith(f"GET {faulty.url}/echo/there HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("http", "warehouse answered 407"),
        ("https", "warehouse cannot be reached through its proxy"),
    ],
)
def test_a_wrong_password_for_the_proxy_fails_the_call(
    faulty: Faulty, proxy: HTTPProxy, scheme: str, message: str
) -> None:
    url = faulty.url.replace("http", scheme)
    upstream = Upstream("warehouse", url, proxy=f"http://me:wrong@{proxy.address}")
    with pytest.raises(UnavailableError) as raised:
        upstream.post("/echo/1")
    assert str(raised.value) == message
    assert faulty.requests == []


@pytest.mark.parametrize(
    "refusal", [b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"garbage\r\n\r\n", b"\0"]
)
def test_a_proxy_that_opens_no_tunnel_fails_the_call(
    secure: Faulty, proxy: HTTPProxy, refusal: bytes
) -> None:
    proxy.refusal = refusal
    upstream = Upstream("warehouse", secure.url, proxy=f"http://me:p%40ss@{proxy.address}")
    with pytest.raises(UnavailableError):
        upstream.post("/echo/1")
    assert secure.connections == 0


def test_a_proxy_may_have_an_ipv6_address(secure: Faulty, certificate: tuple[Path, Path]) -> None:
    proxy = HTTPProxy(ip="::1")
    address = f"http://[::1]:{proxy.server.server_port}"
    upstream = Upstream("warehouse", secure.url, proxy=address, ca_file=str(certificate[0]))
    assert upstream.post("/echo/1").decode() == {"id": "1"}
    upstream.session().close()
    proxy.server.stop()
