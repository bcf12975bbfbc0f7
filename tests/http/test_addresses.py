"""All addresses of a name are used, and one that is gone costs no call."""

import errno
import socket
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

from tests.support.faulty import Faulty
from utils.dev.servers import free_port
from utils.errors import UnavailableError
from utils.http import Upstream, addresses

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
Answer = Callable[[], list[Any]]


class DNS:
    """Answers for warehouse.test; `hosts` are its addresses, `error` is raised instead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hosts: tuple[str, ...] = ()
        self.error: Exception | None = None
        self.answering = Event()
        self.answering.set()
        self.lookups = 0
        self.ask = socket.getaddrinfo
        monkeypatch.setattr(addresses, "getaddrinfo", self.answer)

    def answer(self, host: str, port: int, **options: Any) -> list[Any]:
        self.lookups += 1
        self.answering.wait()
        if self.error:
            raise self.error
        assert host == "warehouse.test"
        # A DNS server turns its answers round itself.
        self.hosts = self.hosts[1:] + self.hosts[:1]
        return [found for each in self.hosts for found in self.ask(each, port, **options)]


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> DNS:
    return DNS(monkeypatch)


@pytest.fixture
def instances(dns: DNS) -> Iterator[list[Faulty]]:
    """Three servers on one port, at the three addresses of the name."""
    port = free_port()
    servers = [Faulty((host, port)) for host in HOSTS]
    dns.hosts = HOSTS
    yield servers
    for server in servers:
        server.stop()


def connect(instances: list[Faulty], **options: Any) -> Upstream:
    """Return a client that makes a new connection for each call."""
    limits = {"connect_timeout": 20, "total_timeout": 20, "max_age": 0, **options}
    return Upstream("warehouse", f"http://warehouse.test:{instances[0].port}", **limits)


def counts(instances: list[Faulty]) -> list[int]:
    return [len(server.requests) for server in instances]


def test_connections_go_to_all_addresses_in_turn(instances: list[Faulty]) -> None:
    upstream = connect(instances)
    for _ in range(9):
        upstream.get("/echo/1")
    assert counts(instances) == [3, 3, 3]


def test_two_names_rotate_independently(instances: list[Faulty]) -> None:
    one, other = connect(instances), connect(instances)
    for _ in range(6):
        one.get("/echo/one")
        other.get("/echo/other")
    for server in instances:
        assert sum(request.path == "/echo/one" for request in server.requests) == 2


def test_a_kept_connection_stays_where_it_is(instances: list[Faulty]) -> None:
    upstream = connect(instances, max_age=1000)
    for _ in range(9):
        upstream.get("/echo/1")
    assert sorted(counts(instances)) == [0, 0, 9]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_instance_that_is_gone_fails_no_call(instances: list[Faulty], method: str) -> None:
    """Not even without retries: nothing was sent where nobody listens."""
    upstream = connect(instances, retries=0)
    instances[1].stop()
    for number in range(9):
        assert upstream.request(method, f"/echo/{number}").decode() == {"id": str(number)}
    assert sum(counts(instances)) == 9
    assert counts(instances)[1] == 0


def test_an_address_that_drops_packets_gets_its_share_of_the_time(dns: DNS) -> None:
    port = free_port()
    alive = Faulty(("127.0.0.2", port))
    dns.hosts = ("127.0.0.1", "127.0.0.2")
    with socket.socket() as full, socket.socket() as waiting:
        full.bind(("127.0.0.1", port))
        full.listen(0)
        waiting.connect(full.getsockname())
        upstream = connect([alive], connect_timeout=1, retries=0)
        for number in range(4):
            assert upstream.post(f"/echo/{number}").decode() == {"id": str(number)}
    alive.stop()


def test_an_address_that_failed_is_tried_last(dns: DNS) -> None:
    dns.hosts = HOSTS
    known = addresses.Addresses()
    _, second, _ = known.of("warehouse.test", 80)
    known.failed(second, ConnectionRefusedError())
    for _ in range(6):
        assert known.of("warehouse.test", 80)[2] == second


@pytest.mark.parametrize("code", ["EMFILE", "EADDRNOTAVAIL", "ENOBUFS"])
def test_a_local_failure_does_not_mark_the_address(dns: DNS, code: str) -> None:
    known = addresses.Addresses()
    dns.hosts = HOSTS
    first, *_ = known.of("warehouse.test", 80)
    known.failed(first, OSError(getattr(errno, code), "ours"))
    assert not known.failed_lately(first)


def test_connections_are_dropped_only_if_another_address_works(dns: DNS) -> None:
    """If all fail, the upstream is full, perhaps: what is connected has to go on."""
    known = addresses.Addresses()
    dns.hosts = HOSTS[:2]
    first, second = known.of("warehouse.test", 80)
    known.failed(first, ConnectionRefusedError())
    assert (known.should_avoid(first), known.should_avoid(second)) == (True, False)
    known.failed(second, TimeoutError())
    assert (known.should_avoid(first), known.should_avoid(second)) == (False, False)


def test_kept_connections_to_an_address_that_refuses_are_left(instances: list[Faulty]) -> None:
    upstream = connect(instances, max_age=1000)

    def call_at_once(count: int) -> None:
        calls = [gevent.spawn(upstream.get, f"/slow/{number}") for number in range(count)]
        gevent.joinall(calls, raise_error=True)

    call_at_once(3)  # one kept connection to each address
    assert counts(instances) == [1, 1, 1]
    # It accepts no more, but leaves the connection open that it has.
    instances[1].server.close()
    call_at_once(9)
    seen = counts(instances)[1]
    call_at_once(9)
    assert counts(instances)[1] == seen


def test_without_any_instance_the_upstream_cannot_be_reached(instances: list[Faulty]) -> None:
    for server in instances:
        server.stop()
    with pytest.raises(UnavailableError, match=r"^warehouse cannot be reached$"):
        connect(instances).post("/echo/1")


def test_an_instance_that_comes_back_is_used_again(
    instances: list[Faulty], monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = connect(instances)
    instances[1].stop()
    for _ in range(3):
        upstream.get("/echo/1")
    monkeypatch.setattr(addresses, "FAILED_SECONDS", 0)
    instances[1] = Faulty((HOSTS[1], instances[0].port))
    for _ in range(3):
        upstream.get("/echo/1")
    assert counts(instances)[1] == 1


def test_a_new_instance_is_used_by_the_next_connections(instances: list[Faulty], dns: DNS) -> None:
    upstream = connect(instances)
    dns.hosts = HOSTS[:1]
    upstream.get("/echo/1")
    dns.hosts = HOSTS[1:2]
    upstream.get("/echo/1")
    assert counts(instances) == [1, 1, 0]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_dns_that_hangs_is_not_waited_for_longer_than_for_a_connection(
    dns: DNS, method: str
) -> None:
    dns.answering.clear()
    upstream = Upstream("warehouse", "http://warehouse.test", connect_timeout=0.2, total_timeout=20)
    with pytest.raises(UnavailableError, match=r"^warehouse cannot be reached$"):
        upstream.request(method, "/echo/1")
    dns.answering.set()


def test_a_name_is_looked_up_once_at_a_time(instances: list[Faulty], dns: DNS) -> None:
    """gevent's ten threads for DNS serve all names of the process."""
    dns.answering.clear()
    upstream = connect(instances)
    calls = [gevent.spawn(upstream.get, "/echo/1") for _ in range(20)]
    gevent.sleep(0)  # all of them run as far as to their lookup
    dns.answering.set()
    gevent.joinall(calls, raise_error=True)
    assert dns.lookups == 1
    assert sum(counts(instances)) == 20
