"""Paths stay below the upstream's URL, and a URL is checked when the upstream is named."""

import traceback
from typing import Any

import pytest

from tests.support.faulty import Faulty
from utils.errors import ParameterError
from utils.http import Upstream


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/a b", "/a%20b"),
        ("/a/%2e%2e/b", "/a/%252e%252e/b"),
        ("/%2F%zz%", "/%252F%25zz%25"),
        ("/@evil:80", "/@evil:80"),
        ("/a;b=c,d!$&'()*+", "/a;b=c,d!$&'()*+"),
        ("/a/...", "/a/..."),
        ("/a/.well-known/..b/c..", "/a/.well-known/..b/c.."),
        ("/a/", "/a/"),
        ("/订", "/%E8%AE%A2"),
    ],
)
def test_a_path_is_quoted(faulty: Faulty, path: str, target: str) -> None:
    Upstream("warehouse", f"{faulty.url}/echo/").get(path)
    assert [request.target for request in faulty.requests] == [f"/echo{target}"]


@pytest.mark.parametrize(
    ("segments", "target"),
    [
        (("/projects", "group/name"), "/projects/group%2Fname"),
        (("/projects/", "group/name", "issues", 7), "/projects/group%2Fname/issues/7"),
        (("/", "a"), "/a"),
        (("/a b", "a b", "c+d"), "/a%20b/a%20b/c%2Bd"),
        (("/a", "?b=c#d&e;f"), "/a/%3Fb%3Dc%23d%26e%3Bf"),
        (("/a", "%2F", "%2e%2e", "%", "%zz"), "/a/%252F/%252e%252e/%25/%25zz"),
        (("/a", "...", "..b", "a..", ".b"), "/a/.../..b/a../.b"),
        (
            ("/a", "//evil", "http://evil", "@evil:80"),
            "/a/%2F%2Fevil/http%3A%2F%2Fevil/%40evil%3A80",
        ),
        (("/a", "\r\nEvil: 1"), "/a/%0D%0AEvil%3A%201"),
        (("/a", "\0", "\x7f", "\u2028", " "), "/a/%00/%7F/%E2%80%A8/%20"),
        (("/a", "a\\b"), "/a/a%5Cb"),
        (("/a", "订", "~_-."), "/a/%E8%AE%A2/~_-."),
        (("/a", "\uff0e\uff0e", "\u2024\u2024"), "/a/%EF%BC%8E%EF%BC%8E/%E2%80%A4%E2%80%A4"),
        (("/a", 0, -1), "/a/0/-1"),
    ],
)
def test_each_segment_is_quoted_as_one(
    faulty: Faulty, segments: tuple[str, ...], target: str
) -> None:
    upstream = Upstream("warehouse", f"{faulty.url}/echo")
    upstream.get(*segments, params={"q": "1"})
    upstream.post(*segments, json=1)
    assert [request.target for request in faulty.requests] == [
        f"/echo{target}?q=1",
        f"/echo{target}",
    ]
    assert "evil" not in faulty.requests[0].headers


@pytest.mark.parametrize(
    "value",
    [
        *("", ".", "..", "../b", "./c", "a/..", "a/../b", "a/./b", "/..", "../"),
        *("..\\b", "a\\..", "..;", "..;a=b", "a/..;/b", ".;", "\ud800", "a\udfffb"),
    ],
)
def test_a_value_that_would_lead_elsewhere_is_the_caller_s_fault(
    faulty: Faulty, upstream: Upstream, value: str
) -> None:
    with pytest.raises(ParameterError, match=r"^a value cannot be part of a path$"):
        upstream.get("/echo", value)
    assert faulty.connections == 0


@pytest.mark.parametrize("value", [None, b"a", 1.5, ["a"]])
def test_a_value_that_is_no_text_is_our_own_fault(upstream: Upstream, value: Any) -> None:
    with pytest.raises(TypeError, match="expected a str or an int in a path"):
        upstream.get("/echo", value)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "x",
            "//evil",
            "http://evil",
            "\\evil",
            "@evil",
            ":80",
            "/..",
            "/a/../b",
            "/./b",
            "\r\n",
        ),
        *("/a//b", "/a?b", "/a#b", "/a\\b", "/a\0", "/a\r\nEvil: 1", "/a\x7f", "/a\x85", "/..;/b"),
        *("/a/.;b", "/\ud800"),
    ],
)
def test_a_path_with_what_is_no_path_is_our_own_fault(
    faulty: Faulty, upstream: Upstream, path: str
) -> None:
    """As one has that a value was put into: the caller has to learn nothing of it."""
    with pytest.raises(ValueError, match="expected a path"):
        upstream.get(path)
    assert faulty.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "warehouse",
        "ftp://h",
        "http://",
        "http://u:se/cret@h",
        "http://[h",
        "http://h?secret=1",
        "http://h:99999/secret",
        f"http://{'secret' * 20}.example",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"^warehouse: expected a URL") as raised:
        Upstream("warehouse", url)
    assert "cret" not in "".join(traceback.format_exception_only(raised.value))
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(
    "proxy",
    [
        "proxy:3128",
        "https://u:secret@proxy",
        "socks5://u:secret@proxy",
        "http://u:se/cret@proxy",
        "http://proxy/secret",
        "http://",
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_without_being_shown(proxy: str) -> None:
    with pytest.raises(ValueError, match=r"^warehouse: expected a proxy") as raised:
        Upstream("warehouse", "http://127.0.0.1", proxy=proxy)
    assert "cret" not in "".join(traceback.format_exception_only(raised.value))
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_an_upstream_may_have_an_ipv6_address() -> None:
    faulty = Faulty(("::1", 0))
    upstream = Upstream("warehouse", f"http://[::1]:{faulty.port}", total_timeout=20)
    assert upstream.get("/echo/1").decode() == {"id": "1"}
    assert faulty.requests[0].headers["host"] == f"[::1]:{faulty.port}"
    faulty.stop()
