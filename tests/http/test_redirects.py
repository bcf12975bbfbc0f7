"""A redirect is followed as requests does it where that is harmless, and is an answer elsewhere."""

import pytest

from tests.support.faulty import Faulty
from utils.errors import UnavailableError
from utils.http import Upstream
from utils.http.session import MAX_REDIRECTS

STATUSES = [301, 302, 303, 307, 308]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_redirect_on_the_same_host_is_followed_with_the_same_method(
    faulty: Faulty, upstream: Upstream, method: str, status: int
) -> None:
    faulty.location = "/echo/there"
    assert upstream.request(method, f"/redirect/{status}").status == 200
    assert [(request.method, request.target) for request in faulty.requests] == [
        (method, f"/redirect/{status}"),
        (method, "/echo/there"),
    ]


# What requests repairs: sessions.py, get_redirect_target and resolve_redirects.
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("{url}/echo/a?b=c", "/echo/a?b=c"),
        ("//{host}/echo/a", "/echo/a"),
        ("HTTP://{host}/echo/a", "/echo/a"),
        ("a", "/redirect/a"),
        ("../echo/a", "/echo/a"),
        ("/x/../echo/./a/../b", "/echo/b"),
        ("../../../echo/a", "/echo/a"),
        ("?a=b", "/redirect/302?a=b"),
        ("/echo/a#fragment", "/echo/a"),
        ("/echo/a b?c d", "/echo/a%20b?c%20d"),
        ("  /echo/a  ", "/echo/a"),
        ("/echo/订单", "/echo/%E8%AE%A2%E5%8D%95"),
        ("/echo/Å…", "/echo/%C3%85%E2%80%A6"),  # bytes that end lines in Latin-1 and Unicode
        ("/echo/caf\udce9", "/echo/caf%E9"),  # not UTF-8: requests gives up
        ("/echo/%E8%AE%A2", "/echo/%E8%AE%A2"),
        ("/echo/%7Ea%2fb", "/echo/~a%2Fb"),
        ("/echo/50%", "/echo/50%25"),
        ("/echo/%zz", "/echo/%25zz"),
        ('/echo/"<a>\\^`{{|}}', "/echo/%22%3Ca%3E%5C%5E%60%7B%7C%7D"),
        ("/echo/a;b,c!$&'()*+=:@", "/echo/a;b,c!$&'()*+=:@"),
        ("http:///echo/a", "/echo/a"),
        ("http://me:password@{host}/echo/a", "/echo/a"),
        ("http://evil.example\\@{host}/echo/a", "/echo/a"),
    ],
)
def test_a_location_is_repaired(
    faulty: Faulty, upstream: Upstream, location: str, target: str
) -> None:
    faulty.location = location.format(url=faulty.url, host=f"127.0.0.1:{faulty.port}")
    if target.startswith("/redirect"):
        with pytest.raises(UnavailableError):  # to itself, or to a page that redirects too
            upstream.get("/redirect/302")
    else:
        upstream.get("/redirect/302")
    assert faulty.requests[1].target == target
    assert "authorization" not in faulty.requests[1].headers


@pytest.mark.parametrize(
    "location",
    [
        "http://[evil",
        "http://[::1",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:port/",
        "http://127.0.0.1:80.evil.example/",
    ],
)
def test_a_location_that_is_no_url_is_an_invalid_response(
    faulty: Faulty, upstream: Upstream, location: str
) -> None:
    faulty.location = location
    with pytest.raises(UnavailableError, match=r"^warehouse sent an invalid response$"):
        upstream.get("/redirect/302")
    assert upstream.get("/echo/1").decode() == {"id": "1"}


@pytest.mark.parametrize(
    "location",
    [
        "",
        "http://localhost:{port}/echo/x",
        "http://127.0.0.1/echo/x",
        "//evil.example/echo/x",
        "https://127.0.0.1:{port}/echo/x",
        "ftp://127.0.0.1:{port}/x",
        "mailto:me@127.0.0.1",
        "http://127.0.0.1:{port}@evil.example/",
    ],
)
def test_a_redirect_to_another_host_is_an_answer(
    faulty: Faulty, upstream: Upstream, location: str
) -> None:
    faulty.location = location.format(port=faulty.port)
    response = upstream.get("/redirect/307", headers={"Authorization": "secret"})
    assert (response.status, response.headers.get("Location")) == (307, faulty.location)
    assert len(faulty.requests) == 1


def test_a_redirect_without_a_location_is_an_answer(faulty: Faulty, upstream: Upstream) -> None:
    assert upstream.get("/status/302").status == 302


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_redirect_of_a_write_is_an_answer(
    faulty: Faulty, upstream: Upstream, method: str, status: int
) -> None:
    faulty.location = "/echo/there"
    response = upstream.request(method, f"/redirect/{status}", json=1)
    assert (response.status, response.headers["Location"]) == (status, "/echo/there")
    assert len(faulty.requests) == 1


@pytest.mark.parametrize("status", STATUSES)
def test_a_body_goes_on_only_where_a_redirect_keeps_it(
    faulty: Faulty, upstream: Upstream, status: int
) -> None:
    faulty.location = "/echo/there"
    upstream.get(f"/redirect/{status}", json={"query": 1})
    (_, request) = faulty.requests
    if status in (307, 308):
        assert (request.body, request.headers["content-length"]) == (b'{"query":1}', "11")
    else:
        assert request.body == b""
        assert not {"content-type", "content-length", "transfer-encoding"} & set(request.headers)


def test_the_headers_of_a_call_go_on_with_a_redirect(faulty: Faulty) -> None:
    faulty.location = "/echo/there"
    url = faulty.url.replace("//", "//me:password@")
    Upstream("warehouse", url).get("/redirect/302", headers={"X-Key": "k"})
    first, second = faulty.requests
    assert second.headers["x-key"] == "k"
    assert second.headers["authorization"] == first.headers["authorization"]
    assert "cookie" not in second.headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_redirects_are_followed_so_far_and_no_farther(
    faulty: Faulty, upstream: Upstream, method: str
) -> None:
    with pytest.raises(UnavailableError, match=r"^warehouse redirects too often$"):
        upstream.request(method, "/redirect_again")
    assert faulty.count("/redirect_again") == 1 + MAX_REDIRECTS
