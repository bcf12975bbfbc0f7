"""The Host header: what the standard allows is served, all else is refused and logged."""

import re

import pytest

from tests.support.messages import exchange, post, with_length
from tests.support.service import Service

ORDER = b'{"order_id":1}'

ALLOWED = [
    "x",
    "order_service:10001",
    "order_service",
    "_x._tcp.example",
    "-a-",
    "a..b",
    "example.com.",
    "EXAMPLE.com",
    "foo:",
    "foo:0",
    "foo:80",
    "foo:00080",
    f"foo:{'0' * 5000}80",
    "foo:65535",
    "127.0.0.1:10001",
    "999.999.999.999",
    "1",
    "a~b!c$d&e'f(g)h*i+j,k;l=m",
    "m%C3%BCller.example:8080",
    "%41",
    "x" * 300,
    f"{'x' * 64}.example",
    "[::1]",
    "[::1]:10001",
    "[::]:",
    "[2001:DB8::1]:80",
    "[1:2:3:4:5:6:7:8]",
    "[::ffff:192.0.2.1]",
    "[64:ff9b::192.0.2.33]:443",
    "[v1.a]",
    "[vF.a:b!c]:80",
]
REFUSED = [
    "",
    ":80",
    ":",
    "a b",
    "a/b",
    "a?b",
    "a#b",
    "a\\b",
    "a@b",
    "<x>",
    '"x"',
    "a|b",
    "a^b",
    "a`b",
    "{x}",
    "a\tb",
    "m\u00fcller",
    "%",
    "%4",
    "%zz",
    "a:b",
    "a:8o",
    "a:-1",
    "a:+1",
    "a: 80",
    "a:80:80",
    "a:65536",
    "a:99999999999999999999999999999999999",
    "a:1000000000000000000000000000000080",
    f"a:{'9' * 5000}",
    "::1",
    "[::1",
    "::1]",
    "[]",
    "[::1]x",
    "[::1]80",
    "[:::1]",
    "[::g]",
    "[1:2:3:4:5:6:7]",
    "[1:2:3:4:5:6:7:8:9]",
    "[12345::]",
    "[::1.2.3]",
    "[::256.1.1.1]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[127.0.0.1]",
    "[v.a]",
    "[v1.]",
    "[vx.a]",
    "[v1a]",
    "[x]",
    "http://x",
    "x, y",
    "x,y z",
]


@pytest.mark.parametrize("host", ALLOWED)
def test_a_host_that_the_standard_allows_is_served(reading: Service, host: str) -> None:
    status, _, envelope = exchange(
        reading, post("/test", "Content-Length: 14", host=host, body=ORDER)
    )
    assert (status, envelope["err_msg"]) == (200, "ok")
    status, _, envelope = exchange(reading, post("/seen/", "Content-Length: 0", host=host))
    assert status == 200
    seen = envelope["data"]["host"]
    assert seen == re.sub(r":0*(80|0)?$", "", host)


@pytest.mark.parametrize("host", REFUSED)
def test_a_host_that_it_does_not_allow_is_refused(reading: Service, host: str) -> None:
    data = post("/test", "Content-Length: 14", host=host, body=ORDER)
    status, _, envelope = exchange(reading, data)
    assert (status, envelope["err_code"], envelope["err_msg"]) == (400, 400, "bad request")
    (line,) = [line for line in reading.log().splitlines() if envelope["uuid"] in line]
    assert line.endswith("bad request: the Host is malformed")


def test_http_1_1_needs_a_host_and_1_0_does_not(reading: Service) -> None:
    data = with_length("/test", ORDER).replace(b"Host: x\r\n", b"")
    status, _, envelope = exchange(reading, data)
    assert (status, envelope["err_msg"]) == (400, "bad request")
    assert f"{envelope['uuid']} " in reading.log()
    assert "bad request: no Host header" in reading.log()
    assert exchange(reading, data.replace(b"HTTP/1.1", b"HTTP/1.0"))[0] == 200
