"""Outages: without Redis the function is called, nobody waits, and nothing old comes back."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import gevent
import pytest
import redis as redis_py
from gevent.server import StreamServer

from tests.support.cache import Store, Thing, joined, lose_what_is_on_its_way, waits
from tests.support.proxy import Proxy
from tests.support.service import wait_until
from utils.cache import cached, client
from utils.cache.breaker import breaker
from utils.cache.redis import make_client
from utils.context import request_deadline
from utils.dev.servers import Redis
from utils.errors import UnavailableError


@pytest.fixture
def paused(redis: Redis) -> Iterator[Redis]:
    """A Redis that answers nothing until the end of the test or SIGCONT."""
    redis.send(signal.SIGSTOP)
    yield redis
    redis.send(signal.SIGCONT)


def test_without_redis_the_function_is_called(store: Store, without_redis: None) -> None:
    load = store.worker()
    assert [load("a"), load("a")] == [Thing("a", 1)] * 2
    with load.invalidating("a"):
        pass
    assert store.loads == 2
    assert breaker().pending_deletes == {}
    with pytest.raises(UnavailableError, match="Redis is not configured"):
        make_client()


def test_while_redis_is_down_nothing_waits_for_it(store: Store, redis_proxy: Proxy) -> None:
    load = store.worker()
    redis_proxy.close()
    assert load("a") == Thing("a", 1)
    assert breaker().open
    assert not waits(lambda: load("a"))
    with load.invalidating("a"):
        store.things["a"] = Thing("a", 2)
    assert load("a") == Thing("a", 2)
    redis_proxy.open()


def test_a_redis_that_hangs_costs_its_timeout_once(store: Store, paused: Redis) -> None:
    load = store.worker()
    with request_deadline(20):
        assert load("a") == Thing("a", 1)
    assert breaker().open
    assert not waits(lambda: load("a"))
    paused.send(signal.SIGCONT)
    wait_until(lambda: not breaker().open)
    before = store.loads
    assert [load("a"), load("a")] == [Thing("a", 1)] * 2
    assert store.loads <= before + 1


def test_without_redis_one_greenlet_still_loads_for_all(store: Store, paused: Redis) -> None:
    load = store.worker()
    store.hold()
    calls = [gevent.spawn(load, "a") for _ in range(100)]
    wait_until(lambda: joined(load) == 99)
    store.let(1)
    wait_until(lambda: joined(load) == 98)  # the first load may have been older than these calls
    store.let(1)
    gevent.joinall(calls, raise_error=True)
    assert store.loads == 2


def test_what_changed_while_redis_hung_is_gone_when_it_is_back(
    store: Store, redis_proxy: Proxy
) -> None:
    load = store.worker()
    load("a")
    redis_proxy.hang()
    for name in ("a", "b"):
        with load.invalidating(name):
            store.things[name] = Thing(name, 2)
    lose_what_is_on_its_way(redis_proxy)
    assert load("a") == Thing("a", 2)
    wait_until(lambda: not breaker().open)
    assert load("a") == Thing("a", 2)
    assert breaker().pending_deletes == {}


def test_a_change_that_failed_while_redis_was_down_stays_uncertain_when_it_is_back(
    store: Store, redis_proxy: Proxy, uncertain_for_long: float
) -> None:
    load = store.worker()
    redis_proxy.close()
    with suppress(ValueError), load.invalidating("a"):
        raise ValueError
    load.invalidate("a")
    redis_proxy.open()
    wait_until(lambda: not breaker().open)
    assert load("a") == Thing("a", 1)
    store.things["a"] = Thing("a", 2)  # MySQL made the change after all
    assert load("a") == Thing("a", 2)
    assert client().get("pyserver:thing:a#lock") == b"uncertain"


def test_thousands_of_pending_deletes_are_delivered_before_anything_is_read(
    redis: Redis, redis_proxy: Proxy
) -> None:
    names = [f"n{number}" for number in range(5000)]
    client().mset(dict.fromkeys((f"pyserver:name:{name}" for name in names), "old"))

    @cached("name:{name}", 60)
    def load(name: str) -> str:
        return name

    redis_proxy.close()
    for name in names:
        load.invalidate(name)
    assert len(breaker().pending_deletes) == len(names)
    redis_proxy.open()
    wait_until(lambda: not breaker().open)
    assert client().keys("*") == []
    assert breaker().pending_deletes == {}


def test_a_fault_while_the_circuit_opens_does_not_leave_it_open(
    redis: Redis, redis_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: bool) -> None:
        raise OSError

    monkeypatch.setattr(client().connection_pool, "disconnect", fail)
    with pytest.raises(OSError):  # noqa: PT011
        breaker().open_circuit(UnavailableError())
    wait_until(lambda: not breaker().open)


def test_a_long_outage_keeps_no_note_of_values_that_have_expired(
    redis: Redis, redis_proxy: Proxy
) -> None:
    redis_proxy.close()
    breaker().invalidate("a", max_age=0.1)
    breaker().invalidate("b", max_age=60)
    assert set(breaker().pending_deletes) == {"a", "b"}
    wait_until(lambda: set(breaker().pending_deletes) == {"b"})
    assert breaker().open
    redis_proxy.open()
    wait_until(lambda: breaker().pending_deletes == {})


def cut_after(seconds: float) -> gevent.Timeout:
    """Return a context manager that ends its block, silently."""
    return gevent.Timeout(seconds, False)  # type: ignore[arg-type]  # gevent's documented form


@pytest.mark.parametrize("cut_in", ["the change", "the deletion", "the mark"])
def test_a_change_that_is_cut_anywhere_is_made_good(
    store: Store, redis_proxy: Proxy, cut_in: str
) -> None:
    load = store.worker()
    load("a")
    redis_proxy.hang()
    with suppress(ValueError), cut_after(0.1), load.invalidating("a"):
        store.things["a"] = Thing("a", 2)
        if cut_in == "the change":
            gevent.sleep(60)
        if cut_in == "the mark":
            raise ValueError
    assert not breaker().open  # what cut it says nothing about Redis
    assert load("a") == Thing("a", 2)
    wait_until(lambda: breaker().open)  # by the deletion, which went on
    lose_what_is_on_its_way(redis_proxy)
    assert load("a") == Thing("a", 2)
    wait_until(lambda: not breaker().open)
    assert load("a") == Thing("a", 2)


def test_a_redis_that_talks_nonsense_is_down_until_it_talks_sense(
    store: Store, redis: Redis, redis_proxy: Proxy
) -> None:
    load, probes = store.worker(), []
    redis_proxy.close()

    def talk(sock: gevent.socket.socket, _: object) -> None:
        probes.append(sock.send(b"$x\r\n"))

    nonsense = StreamServer(("127.0.0.1", redis_proxy.port), talk)
    nonsense.start()
    client().connection_pool.disconnect()
    assert load("a") == Thing("a", 1)
    assert breaker().open
    wait_until(lambda: len(probes) > 3)
    assert breaker().open
    nonsense.stop()
    redis_proxy.open()
    wait_until(lambda: not breaker().open)


@pytest.mark.parametrize("change", [False, True])
def test_a_redis_that_became_a_replica_is_left(
    store: Store, redis: Redis, redis_proxy: Proxy, tmp_path: Path, change: bool
) -> None:
    load = store.worker()
    load("a")
    master = Redis(tmp_path)
    master.start()
    try:
        with redis_py.Redis(port=redis.port, password=redis.password) as old:
            redis_proxy.target = master.port
            old.replicaof("127.0.0.1", master.port)
            (load.invalidate if change else load)("a" if change else "b")
            assert breaker().open
            wait_until(lambda: not breaker().open)
            store.loads = 0
            assert [load("a"), load("a")] == [Thing("a", 1)] * 2
            assert store.loads == 1
            old.replicaof("NO", "ONE")
    finally:
        redis_proxy.target = redis.port
        client().connection_pool.disconnect()
        master.stop()


def test_a_redis_that_restarts_empty_during_a_load_gets_nothing_old(store: Store) -> None:
    """Its keys are gone, and with them the lock of a load that a change may have overtaken."""
    here, there = store.worker(), store.worker()
    store.hold()
    early = gevent.spawn(here, "a")
    wait_until(lambda: store.loads == 1)
    client().flushall()
    with there.invalidating("a"):
        store.things["a"] = Thing("a", 2)
    store.let(100)
    assert early.get() == Thing("a", 1)
    assert here("a") == there("a") == Thing("a", 2)


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru"])
def test_a_redis_that_is_full_is_no_fault_of_the_caller(store: Store, policy: str) -> None:
    load = store.worker()
    load("a")
    try:
        client().config_set("maxmemory-policy", policy)
        client().config_set("maxmemory", "1")
        with load.invalidating("a"):
            store.things["a"] = Thing("a", 2)
        assert load("a") == Thing("a", 2)
        with suppress(ValueError), load.invalidating("a"):
            raise ValueError
        store.things["a"] = Thing("a", 3)
        assert load("a") == Thing("a", 3)
    finally:
        client().config_set("maxmemory", "0")
        client().config_set("maxmemory-policy", "noeviction")
