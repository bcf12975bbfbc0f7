"""The cache: one load for all, nothing older than a change, and a Redis that may be away."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
import redis as redis_py
from gevent.server import StreamServer
from msgspec import Struct, structs

from conf.current import settings
from tests.support.proxy import Proxy
from tests.support.service import wait_until
from utils.cache import cached, client
from utils.cache import function as cache
from utils.cache import redis as redis_pool
from utils.cache.redis import PROBE_SECONDS, breaker
from utils.context import request_deadline
from utils.dev.servers import Redis
from utils.errors import DeadlineError, UnavailableError


class Thing(Struct):
    """What the tests keep."""

    name: str
    size: int


class Store:
    """What a cache stands before: counts how often it is asked, and answers slowly."""

    def __init__(self) -> None:
        self.loads = 0
        self.seconds = 0.0
        self.things: dict[str, Thing] = {"a": Thing("a", 1)}
        self.fault: Exception | None = None

    def load(self, name: str) -> Thing | None:
        self.loads += 1
        found = self.things.get(name)
        gevent.sleep(self.seconds)
        if self.fault:
            raise self.fault
        return found


@pytest.fixture
def redis(redis_server: Redis, redis_proxy: Proxy) -> Iterator[Redis]:
    """An empty Redis that this process has not spoken to yet."""
    client().connection_pool.disconnect()
    client().flushdb()
    yield redis_server
    redis_proxy.go_on()
    wait_until(lambda: not breaker.open)


@pytest.fixture
def store(redis: Redis) -> Store:
    return Store()


def keep(store: Store, ttl: float = 60) -> cache.Cached[[str], Thing | None]:
    """Put a cache before the store, as each worker has one."""
    return cached("thing:{name}", ttl)(store.load)


def lose_what_is_on_its_way(proxy: Proxy) -> None:
    """End a hang, in such a way that nothing sent during it arrives."""
    proxy.close()
    proxy.open()


def test_a_result_is_loaded_once_and_then_kept(store: Store) -> None:
    load = keep(store)
    assert [load("a"), load("a"), load("a")] == [Thing("a", 1)] * 3
    assert store.loads == 1


def test_no_two_calls_share_a_key(redis: Redis) -> None:
    @cached("pair:{one}:{other}", 60)
    def load(one: str, other: str = "x") -> list[str]:
        return [one, other]

    for pair in (["1:2", "3"], ["1", "2:3"], ["1", "2%3A3"], ["", ""]):
        assert load(*pair) == pair
    assert load("1") == ["1", "x"]


def test_nothing_passes_for_its_own_text(redis: Redis) -> None:
    @cached("thing:{thing}", 60)
    def load(thing: object) -> str:
        return type(thing).__name__

    for thing in (None, True, 1.5, (1, 2), b"a"):
        for call in (thing, str(thing), repr(thing), f"={thing!r}"):
            assert load(call) == type(call).__name__
    assert client().get("thing:=None") == b'"NoneType"'


def test_a_ttl_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="thing: expected a ttl above 0"):
        cached("thing", 0)(lambda: None)


@pytest.mark.parametrize("key", ["pair", "pair:{one}", "pair:{one}:{two}"])
def test_a_key_without_all_arguments_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=f"^{key}: expected the name of each argument"):

        @cached(key, 60)
        def load(one: str, other: str) -> str:
            return one + other


def test_nobody_can_change_what_others_get(store: Store) -> None:
    load = keep(store)
    store.seconds = 0.1
    calls = [gevent.spawn(load, "a") for _ in range(3)]
    gevent.joinall(calls)
    assert len({id(call.value) for call in calls}) == 3


def test_what_is_not_there_is_remembered_shortly(store: Store) -> None:
    load = keep(store)
    assert [load("none"), load("none")] == [None, None]
    assert store.loads == 1
    assert 0 < client().pttl("thing:none") <= cache.MISSING_SECONDS * 1000


def test_expiry_is_jittered_and_never_later_than_said(store: Store) -> None:
    load = keep(store)
    for number in range(20):
        store.things[str(number)] = Thing("x", number)
        load(str(number))
    times = [client().pttl(f"thing:{number}") for number in range(20)]
    assert len({time // 100 for time in times}) > 5
    assert max(times) <= 60_000
    assert min(times) > 53_000


def test_one_greenlet_of_one_worker_loads(store: Store) -> None:
    store.seconds = 0.2
    workers = [keep(store) for _ in range(4)]
    calls = [gevent.spawn(load, "a") for load in workers for _ in range(25)]
    gevent.joinall(calls)
    assert {call.value.name for call in calls} == {"a"}
    assert store.loads == 1


def test_a_failed_load_fails_all_that_wait_and_is_not_kept(store: Store) -> None:
    load = keep(store)
    store.seconds, store.fault = 0.1, UnavailableError("MySQL is away")
    calls = [gevent.spawn(refusal, load) for _ in range(10)]
    gevent.joinall(calls)
    assert {call.value for call in calls} == {"MySQL is away"}
    assert store.loads == 1
    store.fault = None
    assert load("a") == Thing("a", 1)
    assert client().keys("*lock*") == []


def refusal(load: cache.Cached[[str], Thing | None]) -> str:
    with pytest.raises(UnavailableError) as caught:
        load("a")
    return str(caught.value)


def test_a_load_that_is_cut_is_taken_over(store: Store) -> None:
    store.seconds = 0.3
    here, there = keep(store), keep(store)
    first = gevent.spawn(here, "a")
    wait_until(lambda: store.loads == 1)
    calls = [gevent.spawn(load, "a") for load in (here, here, there)]
    wait_until(lambda: here.loads["thing:a"].linkcount() == 2 and there.loads)
    first.kill()
    gevent.joinall(calls, timeout=3)
    assert [call.value for call in calls] == [Thing("a", 1)] * 3
    assert store.loads == 2


def test_who_had_too_little_time_to_load_fails_nobody_else(store: Store) -> None:
    load = keep(store)
    store.seconds, store.fault = 0.2, DeadlineError()
    first = gevent.spawn(load, "a")
    wait_until(lambda: store.loads == 1)
    calls = [gevent.spawn(load, "a") for _ in range(5)]
    with pytest.raises(DeadlineError):
        first.get()
    store.fault = None
    gevent.joinall(calls, timeout=3)
    assert [call.value for call in calls] == [Thing("a", 1)] * 5
    assert store.loads == 2


def test_a_load_whose_worker_died_is_taken_over(store: Store) -> None:
    load = keep(store)
    assert cache.enter("thing:a", "of a dead worker") == 1
    with request_deadline(1.5):
        assert load("a") == Thing("a", 1)
    assert load("a") == Thing("a", 1)
    assert store.loads == 1
    assert client().keys("*lock*") == []


def test_a_load_may_take_longer_than_a_lease_and_is_not_disturbed(store: Store) -> None:
    here, there = keep(store), keep(store)
    store.seconds = cache.LEASE_SECONDS * 1.6

    def hurry() -> None:
        with request_deadline(0.1):
            there("a")

    calls = [gevent.spawn(here, "a") for _ in range(3)]
    wait_until(lambda: store.loads == 1)
    while not calls[0].ready():
        with pytest.raises(DeadlineError):
            hurry()
        gevent.sleep(0.1)
    gevent.joinall(calls)
    assert [call.value for call in calls] == [Thing("a", 1)] * 3
    assert there("a") == Thing("a", 1)
    assert store.loads == 1


def test_a_load_during_many_changes_keeps_nobody_waiting(store: Store) -> None:
    here, there = keep(store), keep(store)
    store.seconds = 0.1
    calls = [gevent.spawn(here, "a") for _ in range(20)]
    while not all(call.ready() for call in calls):
        there.forget("a")
        gevent.sleep(0.02)
    assert [call.value for call in calls] == [Thing("a", 1)] * 20
    assert store.loads == 2


@pytest.mark.parametrize("fault", [gevent.Timeout, UnavailableError])
def test_after_a_change_that_failed_nothing_is_kept_until_it_must_have_ended(
    store: Store, fault: type[BaseException]
) -> None:
    here, there = keep(store), keep(store)
    assert here("a") == there("a")
    with pytest.raises(fault), here.changing("a"):
        raise fault
    wait_until(lambda: not client().exists("thing:a"))
    assert here("a") == there("a") == Thing("a", 1)
    store.things["a"] = Thing("a", 2)  # MySQL had not given up yet
    assert here("a") == there("a") == Thing("a", 2)
    limit = settings.mysql.connect_timeout + settings.mysql.read_timeout
    assert (limit - 1) * 1000 < client().pttl("thing:a:lock") <= limit * 1000
    client().delete("thing:a:lock")
    store.loads = 0
    assert [here("a"), there("a")] == [Thing("a", 2)] * 2
    assert store.loads == 1


def test_a_wrong_argument_is_found_before_the_change(store: Store) -> None:
    with pytest.raises(TypeError), keep(store).changing("a", "b"):  # type: ignore[call-arg]
        store.loads = 1
    assert store.loads == 0


@pytest.mark.parametrize("later", [0, 1])
@pytest.mark.parametrize("unclear", [False, True])
def test_a_change_is_seen_by_all_that_come_after_it(
    store: Store, later: int, unclear: bool
) -> None:
    workers = [keep(store), keep(store)]
    if unclear:
        workers[1].doubt("thing:a")
    store.seconds = 0.2
    early = gevent.spawn(workers[0], "a")
    wait_until(lambda: store.loads == 1)
    with workers[1].changing("a"):
        store.things["a"] = Thing("a", 2)
    assert workers[later]("a") == Thing("a", 2)
    gevent.joinall([early])
    assert [load("a") for load in workers] == [Thing("a", 2)] * 2


def test_a_change_is_seen_by_all_that_come_after_it_also_without_redis(
    store: Store, without_redis: None
) -> None:
    load = keep(store)
    store.seconds = 0.2
    early = gevent.spawn(load, "a")
    wait_until(lambda: store.loads == 1)
    with load.changing("a"):
        store.things["a"] = Thing("a", 2)
    assert load("a") == Thing("a", 2)
    gevent.joinall([early])


def test_a_change_that_fails_is_one_that_may_have_happened(store: Store) -> None:
    load = keep(store)
    load("a")
    with pytest.raises(ValueError), load.changing("a"):  # noqa: PT011
        store.things["a"] = Thing("a", 2)
        raise ValueError
    assert load("a") == Thing("a", 2)


@pytest.mark.parametrize("kept", [b"{", b'{"name":"a"}', b"\xff"])
def test_what_another_release_kept_is_loaded_anew(
    store: Store, kept: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    load = keep(store)
    client().set("thing:a", kept)
    assert [load("a"), load("a"), load("a")] == [Thing("a", 1)] * 3
    assert store.loads == 2
    assert caplog.text.count("what is kept as thing:a cannot be read: ") == 1


def test_a_redis_that_is_down_costs_nearly_nothing(store: Store, redis_proxy: Proxy) -> None:
    load = keep(store)
    redis_proxy.close()
    started = time.monotonic()
    assert [load("a") for _ in range(100)] == [Thing("a", 1)] * 100
    assert time.monotonic() - started < 0.05
    assert breaker.open
    redis_proxy.open()


def test_a_redis_that_hangs_costs_its_timeout_once(store: Store, redis: Redis) -> None:
    load = keep(store)
    load("a")
    redis.send(signal.SIGSTOP)
    try:
        for seconds in (settings.redis.timeout, 0, 0):
            started = time.monotonic()
            assert load("a") == Thing("a", 1)
            assert time.monotonic() - started < seconds + 0.05
    finally:
        redis.send(signal.SIGCONT)
    wait_until(lambda: not breaker.open, PROBE_SECONDS + 1)
    before = store.loads
    assert [load("a"), load("a")] == [Thing("a", 1)] * 2
    assert store.loads == before


def test_what_changed_while_redis_hung_is_gone_when_it_is_back(
    store: Store, redis_proxy: Proxy
) -> None:
    load = keep(store)
    load("a")
    redis_proxy.hang()
    with load.changing("a"):
        store.things["a"] = Thing("a", 2)
    with load.changing("b"):
        store.things["b"] = Thing("b", 2)
    lose_what_is_on_its_way(redis_proxy)
    assert load("a") == Thing("a", 2)
    wait_until(lambda: not breaker.open)
    assert load("a") == Thing("a", 2)
    assert breaker.undeleted == {}


def test_a_long_outage_fills_no_memory(redis: Redis, redis_proxy: Proxy) -> None:
    redis_proxy.close()
    breaker.delete("a", "b", seconds=0.1)
    breaker.delete("c", seconds=60)
    assert set(breaker.undeleted) == {"a", "b", "c"}
    wait_until(lambda: set(breaker.undeleted) == {"c"}, PROBE_SECONDS + 1)
    assert breaker.open
    redis_proxy.open()
    wait_until(lambda: breaker.undeleted == {})


@pytest.mark.parametrize("sleep", [0, 1])
def test_a_change_or_deletion_that_is_cut_is_made_good(
    store: Store, redis_proxy: Proxy, sleep: int
) -> None:
    load = keep(store)
    load("a")
    redis_proxy.hang()
    started = time.monotonic()
    with gevent.Timeout(0.1, False), load.changing("a"):
        store.things["a"] = Thing("a", 2)
        gevent.sleep(sleep)
    assert time.monotonic() - started < 0.15
    gevent.sleep(sleep and settings.redis.timeout)
    lose_what_is_on_its_way(redis_proxy)
    wait_until(lambda: load("a") == Thing("a", 2), 0.5)
    wait_until(lambda: not breaker.open)
    assert load("a") == Thing("a", 2)


def test_a_redis_that_talks_nonsense_is_away_until_it_talks_sense(
    store: Store, redis: Redis, redis_proxy: Proxy
) -> None:
    load = keep(store)
    redis_proxy.close()
    nonsense = StreamServer(("127.0.0.1", redis_proxy.port), lambda sock, _: sock.send(b"$x\r\n"))
    nonsense.start()
    client().connection_pool.disconnect()
    assert load("a") == Thing("a", 1)
    assert breaker.open
    gevent.sleep(PROBE_SECONDS * 1.5)
    assert breaker.open
    nonsense.stop()
    redis_proxy.open()
    wait_until(lambda: not breaker.open)


@pytest.mark.parametrize("change", [False, True])
def test_a_redis_that_became_a_replica_is_left(
    store: Store, redis: Redis, redis_proxy: Proxy, tmp_path: Path, change: bool
) -> None:
    load = keep(store)
    load("a")
    master = Redis(tmp_path)
    master.start()
    try:
        with redis_py.Redis(port=redis.port) as old:
            redis_proxy.target = master.port
            old.replicaof("127.0.0.1", master.port)
            (load.forget if change else load)("a" if change else "b")
            assert breaker.open
            wait_until(lambda: not breaker.open)
            store.loads = 0
            assert [load("a"), load("a")] == [Thing("a", 1)] * 2
            assert store.loads == 1
            old.replicaof("NO", "ONE")
    finally:
        redis_proxy.target = redis.port
        client().connection_pool.disconnect()
        master.stop()


def test_nothing_is_sent_twice(redis: Redis, redis_proxy: Proxy) -> None:
    redis_proxy.delay = settings.redis.timeout
    with pytest.raises(UnavailableError):
        client().incr("counter")
    redis_proxy.delay = 0
    wait_until(lambda: client().exists("counter"))
    assert client().get("counter") == b"1"


@pytest.fixture
def without_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings without a Redis."""
    none = structs.replace(settings.redis, host="")
    monkeypatch.setattr(redis_pool, "settings", structs.replace(settings, redis=none))
    redis_pool.client.cache_clear()
    yield
    redis_pool.client.cache_clear()


def test_without_redis_the_function_is_called(store: Store, without_redis: None) -> None:
    load = keep(store)
    assert [load("a"), load("a")] == [Thing("a", 1)] * 2
    with load.changing("a"):
        pass
    assert store.loads == 2
    with pytest.raises(UnavailableError):
        client()
