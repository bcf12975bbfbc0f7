"""The client's address: read from the right, past trusted proxies only."""

import json
import time
from ipaddress import ip_network
from typing import Any

import pytest

from tests.support.messages import exchange, post
from tests.support.service import Service
from tests.support.wire import UnixConnection
from utils.web import client
from utils.web.client import client_route

XFF, FORWARDED = "X-Forwarded-For", "Forwarded"


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set TRUSTED_PROXIES."""

    def trust(proxies: str) -> None:
        networks = [ip_network(proxy) for proxy in proxies.split()]
        monkeypatch.setattr(client, "trusted_networks", lambda: networks)
        client.is_trusted.cache_clear()

    yield trust
    client.is_trusted.cache_clear()


def route(peer: str, headers: dict[str, str]) -> list[str]:
    names = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return client_route({"REMOTE_ADDR": peer, **names})


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("203.0.113.7,10.0.0.2,10.0.0.3", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("10.0.0.9, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("nonsense, 203.0.113.7", "203.0.113.7"),
        ('for="1.1.1.1, 203.0.113.7', "203.0.113.7"),
        (", , 203.0.113.7 , ,", "203.0.113.7"),
        ("203.0.113.7:5678", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("2001:DB8:0:0::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:5678", "2001:db8::7"),
        ("203.0.113.7, fd00::1", "203.0.113.7"),
        ("203.0.113.7, ::ffff:10.0.0.2", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("unknown", "unknown"),
        ("1.1.1.1, unknown, 10.0.0.2", "unknown"),
        ("10.0.0.7", "10.0.0.7"),  # all are ours: the first of them asked
        ("10.0.0.7, 10.0.0.2", "10.0.0.7"),
        ("", "10.0.0.1"),
        (" , ", "10.0.0.1"),
        ("nonsense", "10.0.0.1"),
        ("1.1.1.1, nonsense", "10.0.0.1"),
        ("1.1.1.1, nonsense, 10.0.0.2", "10.0.0.2"),
        ("203.0.113.999", "10.0.0.1"),
        ("1.1.1.1 203.0.113.7", "10.0.0.1"),
        ("<script>", "10.0.0.1"),
        ("fe80::1%<script>", "10.0.0.1"),
        ("203.0.113.7/32", "10.0.0.1"),
        ("0x7f000001", "10.0.0.1"),
        ("127.1", "10.0.0.1"),
    ],
)
def test_x_forwarded_for_is_read_from_the_right(trusted: Any, header: str, expected: str) -> None:
    trusted("10.0.0.0/8 fd00::/8")
    assert route("10.0.0.1", {XFF: header})[0] == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("for=203.0.113.7", "203.0.113.7"),
        ("For=203.0.113.7;Proto=https;by=10.0.0.1", "203.0.113.7"),
        ('proto=https; for="203.0.113.7:47011" ;host="x"', "203.0.113.7"),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ('for="[2001:DB8::7]"', "2001:db8::7"),
        ("for=[2001:db8::7]:80", "2001:db8::7"),
        ("for=203.0.113.7:80", "203.0.113.7"),
        ('for="203\\.0.113.7"', "203.0.113.7"),
        ("for=1.1.1.1, for=203.0.113.7", "203.0.113.7"),
        ("for=1.1.1.1,for=203.0.113.7,for=10.0.0.2", "203.0.113.7"),
        ('for=203.0.113.7, for="[fd00::1]:443";by=_gate', "203.0.113.7"),
        ('for=203.0.113.7;host="a, for=1.1.1.1"', "203.0.113.7"),
        ('for=203.0.113.7;host="a, for=1.1.1.1";proto=http', "203.0.113.7"),
        ('for=203.0.113.7;host="a\\", for=\\"1.1.1.1"', "203.0.113.7"),
        (",, for=203.0.113.7 ,,", "203.0.113.7"),
        ("for=unknown", "unknown"),
        ("for=_SEVKISEK", "_SEVKISEK"),
        ('for="_gazonk:_port", for=10.0.0.2', "_gazonk"),
        ("for=1.1.1.1, for=_hidden, for=10.0.0.2", "_hidden"),
        # What a client sent may break off anywhere: the proxy's element stands whole behind it.
        ('for="1.1.1.1, for=203.0.113.7', "203.0.113.7"),
        ('for="1.1.1.1\\, for=203.0.113.7', "203.0.113.7"),
        ('for="1.1.1.1, for="[2001:db8::7]:80"', "2001:db8::7"),
        ('for="1.1.1.1\\, for="[2001:db8::7]:80"', "2001:db8::7"),
        ("for=1.1.1.1;, for=203.0.113.7", "203.0.113.7"),
        ("=;=, for=203.0.113.7", "203.0.113.7"),
        ("for=10.0.0.7, for=10.0.0.2", "10.0.0.7"),
        ("", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
        ("for=1.1.1.1, proto=https", "10.0.0.1"),
        ("for=1.1.1.1;for=203.0.113.7", "10.0.0.1"),
        ("203.0.113.7", "10.0.0.1"),
        ("for", "10.0.0.1"),
        ("for=", "10.0.0.1"),
        ("for=1.1.1.1, for=", "10.0.0.1"),
        ('for="203.0.113.7', "10.0.0.1"),
        ("for=<script>", "10.0.0.1"),
        ("for=1.1.1.1, for=nonsense, for=10.0.0.2", "10.0.0.2"),
    ],
)
def test_forwarded_is_read_from_the_right(trusted: Any, header: str, expected: str) -> None:
    trusted("10.0.0.0/8 fd00::/8")
    assert route("10.0.0.1", {FORWARDED: header})[0] == expected


@pytest.mark.parametrize(
    ("x_forwarded_for", "forwarded", "expected"),
    [
        ("203.0.113.7", "for=203.0.113.7", "203.0.113.7"),
        ("2001:db8::7", 'for="[2001:db8::7]:80"', "2001:db8::7"),
        ("1.1.1.1, 203.0.113.7", "for=203.0.113.7", "203.0.113.7"),
        ("203.0.113.7", "for=1.1.1.1", "10.0.0.1"),  # one of them is the client's: which?
        ("1.1.1.1", "for=203.0.113.7", "10.0.0.1"),
        ("203.0.113.7", "for=_hidden", "10.0.0.1"),
        ("203.0.113.7", "nonsense", "10.0.0.1"),
    ],
)
def test_two_headers_count_if_they_agree(
    trusted: Any, x_forwarded_for: str, forwarded: str, expected: str
) -> None:
    trusted("10.0.0.0/8")
    assert route("10.0.0.1", {XFF: x_forwarded_for, FORWARDED: forwarded})[0] == expected


@pytest.mark.parametrize(
    ("proxies", "peer", "expected"),
    [
        ("", "10.0.0.1", "10.0.0.1"),
        ("", "127.0.0.1", "127.0.0.1"),
        ("10.0.0.2", "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1", "1.1.1.1"),
        ("10.0.0.0/8", "11.0.0.1", "11.0.0.1"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", "1.1.1.1"),
        ("10.0.0.0/8", "::ffff:11.0.0.1", "11.0.0.1"),
        ("fd00::/8", "fd00::5", "1.1.1.1"),
        ("fd00::/8", "FE00::5", "fe00::5"),
        ("0.0.0.0/0", "::1", "::1"),
        ("", "", "1.1.1.1"),  # a unix socket
    ],
)
def test_only_a_trusted_peer_is_believed(
    trusted: Any, proxies: str, peer: str, expected: str
) -> None:
    trusted(proxies)
    for headers in ({XFF: "1.1.1.1"}, {FORWARDED: "for=1.1.1.1"}):
        assert route(peer, headers)[0] == expected
    assert route(peer, {})[0] == client.plain_address(peer)


def test_the_route_ends_with_our_peer(trusted: Any) -> None:
    trusted("10.0.0.0/8")
    header = "1.1.1.1, 203.0.113.7:99, 10.0.0.3, 10.0.0.2"
    expected = ["203.0.113.7", "10.0.0.3", "10.0.0.2", "10.0.0.1"]
    assert route("10.0.0.1", {XFF: header}) == expected


def test_a_hostile_header_is_read_quickly(trusted: Any) -> None:
    trusted("0.0.0.0/0")
    started = time.process_time()
    for text in (",", 'a="', 'for="\\', ";a=b", " ", 'a="b",', "for=1.1.1.1,", '",'):
        assert route("1.1.1.1", {FORWARDED: text * (8_000 // len(text))})[-1] == "1.1.1.1"
    assert time.process_time() - started < 5  # of this process's own time; it takes 0.02


def test_the_route_and_the_log_see_the_client_behind_the_proxies(
    proxied: Service, reading: Service
) -> None:
    sent = ("X-Forwarded-For: 1.1.1.1, 203.0.113.7, 10.0.0.2", "X-Forwarded-Proto: https")
    data = post("/seen/", "Content-Length: 0", *sent)
    for service, client_address, way, scheme in [
        (proxied, "203.0.113.7", ["203.0.113.7", "10.0.0.2", "127.0.0.1"], "https"),
        (reading, "127.0.0.1", ["127.0.0.1"], "http"),
    ]:
        envelope = exchange(service, data)[2]
        seen = envelope["data"]
        assert (seen["client"], seen["remote_addr"]) == (client_address, client_address)
        assert (seen["access_route"], seen["scheme"]) == (way, scheme)
        (line,) = [line for line in service.log().splitlines() if envelope["uuid"] in line]
        assert line.split()[-1] == client_address


def test_a_header_sent_twice_is_one_list(proxied: Service) -> None:
    for sent in (
        ("X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 203.0.113.7"),
        ('Forwarded: for="1.1.1.1', "Forwarded: for=203.0.113.7"),
    ):
        envelope = exchange(proxied, post("/seen/", "Content-Length: 0", *sent))[2]
        assert envelope["data"]["client"] == "203.0.113.7"


def test_a_peer_over_a_unix_socket_is_trusted(service: Service) -> None:
    service.env["SERVER_SOCKET"] = str(service.folder / "socket")
    service.add_route("seen", "return Envelope(request.uuid, {}, request.access_route)")
    service.sh("start", check=True)
    for sent, seen in [
        ({XFF: "1.1.1.1, 203.0.113.7"}, ["203.0.113.7", ""]),
        ({FORWARDED: "for=1.1.1.1, for=203.0.113.7"}, ["203.0.113.7", ""]),
        ({}, [""]),
    ]:
        connection = UnixConnection(service.env["SERVER_SOCKET"])
        connection.request("POST", "/seen", headers=sent)
        envelope = json.loads(connection.getresponse().read())
        connection.close()
        (line,) = [line for line in service.log().splitlines() if envelope["uuid"] in line]
        assert (envelope["data"], line.split()[-1]) == (seen, seen[0] or "-")
