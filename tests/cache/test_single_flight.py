"""Single flight: of all greenlets of all workers, one loads."""

import time

import gevent
import pytest
from gevent.event import Event

from tests.support.cache import LoadThing, Store, Thing, joined
from tests.support.service import wait_until
from utils.cache import cached, client, lease
from utils.cache.lease import LEASE_SECONDS, acquire
from utils.cache.scripts import ACQUIRED, BUSY
from utils.context import request_deadline
from utils.dev.servers import Redis
from utils.errors import DeadlineError, UnavailableError


def test_one_greenlet_of_one_worker_loads(store: Store) -> None:
    store.hold()
    workers = [store.worker() for _ in range(4)]
    calls = [gevent.spawn(load, "a") for load in workers for _ in range(25)]
    wait_until(lambda: [joined(load) for load in workers] == [24] * 4)
    store.let(1)
    gevent.joinall(calls)
    assert [call.value for call in calls] == [Thing("a", 1)] * 100
    assert store.loads == 1


def refusal(load: LoadThing) -> str:
    with pytest.raises(UnavailableError) as caught:
        load("a")
    return str(caught.value)


def test_a_failed_load_fails_all_that_joined_it_and_is_not_cached(store: Store) -> None:
    load = store.worker()
    store.hold()
    store.fault = UnavailableError("MySQL is away")
    calls = [gevent.spawn(refusal, load) for _ in range(10)]
    wait_until(lambda: joined(load) == 9)
    store.let(1)
    gevent.joinall(calls)
    assert {call.value for call in calls} == {"MySQL is away"}
    assert store.loads == 1
    store.fault = store.passes = None
    assert load("a") == Thing("a", 1)
    assert client().keys("*lock*") == []


def test_a_load_that_is_cut_is_taken_over(store: Store) -> None:
    store.hold()
    here, there = store.worker(), store.worker()
    first = gevent.spawn(here, "a")
    wait_until(lambda: store.loads == 1)
    calls = [gevent.spawn(load, "a") for load in (here, here, there)]
    wait_until(lambda: joined(here) == 2 and there.flights().in_flight)
    first.kill()
    store.let(1)
    gevent.joinall(calls, timeout=20)
    assert [call.value for call in calls] == [Thing("a", 1)] * 3
    assert store.loads == 2


@pytest.mark.parametrize("cut", [DeadlineError, gevent.GreenletExit, gevent.Timeout])
def test_a_request_that_had_too_little_time_to_load_fails_no_other(
    store: Store, cut: type[BaseException]
) -> None:
    load = store.worker()
    store.hold()
    store.fault = cut()
    first = gevent.spawn(load, "a")
    wait_until(lambda: store.loads == 1)
    calls = [gevent.spawn(load, "a") for _ in range(5)]
    wait_until(lambda: joined(load) == 5)
    store.let(1)
    wait_until(lambda: store.loads == 2)
    assert first.exception or isinstance(first.value, gevent.GreenletExit)
    store.fault = None
    store.let(1)
    gevent.joinall(calls, timeout=20)
    assert [call.value for call in calls] == [Thing("a", 1)] * 5
    assert store.loads == 2


def test_a_load_whose_worker_died_is_taken_over(store: Store) -> None:
    load = store.worker()
    assert acquire("pyserver:thing:a", "of a dead worker") == ACQUIRED
    with request_deadline(LEASE_SECONDS + 10):
        assert load("a") == Thing("a", 1)
    assert load("a") == Thing("a", 1)
    assert store.loads == 1
    assert client().keys("*lock*") == []


@pytest.mark.parametrize("milliseconds", [3_600_000, None])
def test_a_lock_that_no_lease_can_have_left_holds_nobody_up(
    store: Store, milliseconds: int | None
) -> None:
    """Redis's clock was set back by an hour: its keys live for an hour longer."""
    client().set("pyserver:thing:a#lock", "of a dead worker", px=milliseconds)
    with request_deadline(20):
        assert store.worker()("a") == Thing("a", 1)
    assert client().exists("pyserver:thing:a")


def test_a_load_may_take_longer_than_a_lease_and_is_not_disturbed(store: Store) -> None:
    here, there = store.worker(), store.worker()
    store.hold()
    calls = [gevent.spawn(here, "a") for _ in range(3)]
    wait_until(lambda: store.loads == 1)
    started = time.monotonic()
    while time.monotonic() < started + LEASE_SECONDS * 1.6:
        with pytest.raises(DeadlineError), request_deadline(0.1):
            there("a")
    assert acquire("pyserver:thing:a", "of another worker") == BUSY
    store.let(1)
    gevent.joinall(calls)
    assert [call.value for call in calls] == [Thing("a", 1)] * 3
    assert there("a") == Thing("a", 1)
    assert store.loads == 1


def test_a_load_during_many_changes_makes_nobody_wait_for_more_than_the_next(store: Store) -> None:
    here, there = store.worker(), store.worker()
    store.hold()
    calls = [gevent.spawn(here, "a") for _ in range(20)]
    wait_until(lambda: joined(here) == 19)
    there.invalidate("a")
    store.let(1)
    wait_until(lambda: store.loads == 2 and joined(here) == 18)
    there.invalidate("a")
    store.let(1)
    gevent.joinall(calls, timeout=20)
    assert [call.value for call in calls] == [Thing("a", 1)] * 20
    assert store.loads == 2


def test_a_load_that_calls_itself_is_an_error_and_no_deadlock(redis: Redis) -> None:
    @cached("ping:{number}", 60)
    def ping(number: int) -> int:
        return pong(number)

    @cached("pong:{number}", 60)
    def pong(number: int) -> int:
        return ping(number)

    with pytest.raises(RecursionError, match=r"the load of (\S+) calls for \1$"):
        ping(1)
    assert client().keys("*") == []


def test_a_load_may_call_for_other_values(redis: Redis) -> None:
    loads = []

    @cached("fibonacci:{number}", 60)
    def fibonacci(number: int) -> int:
        loads.append(number)
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    assert fibonacci(30) == 832040
    assert sorted(loads) == list(range(31))


def test_who_comes_after_a_change_trusts_no_load_that_was_stored_before_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load was stored, then there was a change, and Redis's reply is still on its way."""
    arrived = Event()
    store_now = lease.release_and_store

    def store_slowly(*args: object) -> bool:
        stored = store_now(*args)  # type: ignore[arg-type]
        arrived.wait()
        return stored

    here, there = store.worker(), store.worker()
    monkeypatch.setattr(lease, "release_and_store", store_slowly)
    early = gevent.spawn(here, "a")
    wait_until(lambda: client().exists("pyserver:thing:a"))
    monkeypatch.undo()
    with there.invalidating("a"):
        store.things["a"] = Thing("a", 2)
    late = gevent.spawn(here, "a")
    wait_until(lambda: joined(here) == 1)
    arrived.set()
    assert early.get() == Thing("a", 1)
    assert late.get() == Thing("a", 2)
