"""Invalidation: after a change nobody gets anything older, and nothing older is stored."""

import gevent
import pytest

from conf.current import settings
from tests.support.cache import Store, Thing
from tests.support.service import wait_until
from utils.cache import client
from utils.cache.breaker import breaker
from utils.errors import ConflictError, NotFoundError, ProcessError, UnavailableError


@pytest.mark.parametrize("later", [0, 1])
@pytest.mark.parametrize("uncertain", [False, True])
def test_a_change_is_seen_by_all_that_come_after_it(
    store: Store, later: int, uncertain: bool
) -> None:
    workers = [store.worker(), store.worker()]
    if uncertain:
        workers[1].invalidate_key("pyserver:thing:a", settings.uncertain_seconds)
    store.hold()
    early = gevent.spawn(workers[0], "a")
    wait_until(lambda: store.loads == 1)
    with workers[1].invalidating("a"):
        store.things["a"] = Thing("a", 2)
    store.let(100)
    assert workers[later]("a") == Thing("a", 2)
    gevent.joinall([early])
    assert [load("a") for load in workers] == [Thing("a", 2)] * 2


def test_a_change_is_seen_by_all_that_come_after_it_also_without_redis(
    store: Store, without_redis: None
) -> None:
    load = store.worker()
    store.hold()
    early = gevent.spawn(load, "a")
    wait_until(lambda: store.loads == 1)
    with load.invalidating("a"):
        store.things["a"] = Thing("a", 2)
    store.let(100)
    assert load("a") == Thing("a", 2)
    gevent.joinall([early])


def test_a_change_that_fails_may_have_been_made(store: Store) -> None:
    load = store.worker()
    load("a")
    with pytest.raises(ValueError), load.invalidating("a"):  # noqa: PT011
        store.things["a"] = Thing("a", 2)
        raise ValueError
    assert load("a") == Thing("a", 2)


@pytest.mark.parametrize("fault", [gevent.Timeout, gevent.GreenletExit, UnavailableError])
def test_after_a_change_that_failed_nothing_is_stored_while_it_may_still_be_made(
    store: Store, uncertain_for_long: float, fault: type[BaseException]
) -> None:
    here, there = store.worker(), store.worker()
    assert here("a") == there("a")
    with pytest.raises(fault), here.invalidating("a"):
        raise fault
    wait_until(lambda: not client().exists("pyserver:thing:a"))
    assert here("a") == there("a") == Thing("a", 1)
    store.things["a"] = Thing("a", 2)  # MySQL had not given up yet
    assert here("a") == there("a") == Thing("a", 2)
    left = client().pttl("pyserver:thing:a#lock")
    assert uncertain_for_long / 2 * 1000 < left <= uncertain_for_long * 1000
    client().delete("pyserver:thing:a#lock")
    store.loads = 0
    assert [here("a"), there("a")] == [Thing("a", 2)] * 2
    assert store.loads == 1


@pytest.mark.parametrize("refusal", [ProcessError, ConflictError, NotFoundError])
def test_a_change_that_the_api_refused_leaves_no_doubt(
    store: Store, refusal: type[Exception]
) -> None:
    load = store.worker()
    load("a")
    with pytest.raises(refusal), load.invalidating("a"):
        store.things["a"] = Thing("a", 2)
        raise refusal
    assert [load("a"), load("a")] == [Thing("a", 2)] * 2
    assert store.loads == 2


def test_a_refusal_that_hides_another_error_leaves_a_doubt(
    store: Store, uncertain_for_long: float
) -> None:
    load = store.worker()
    with pytest.raises(ProcessError), load.invalidating("a"):
        try:
            raise UnavailableError
        except UnavailableError:
            raise ProcessError("try again later") from None
    assert [load("a"), load("a")] == [Thing("a", 1)] * 2
    assert store.loads == 2


def test_a_second_change_that_succeeds_does_not_make_the_first_one_certain(
    store: Store, uncertain_for_long: float
) -> None:
    here, there = store.worker(), store.worker()
    with pytest.raises(UnavailableError), here.invalidating("a"):
        raise UnavailableError
    with there.invalidating("a"):
        store.things["a"] = Thing("a", 2)
    assert there("a") == Thing("a", 2)
    store.things["a"] = Thing("a", 3)  # MySQL made the first change after all
    assert here("a") == there("a") == Thing("a", 3)


def test_a_wrong_argument_is_found_before_the_change(store: Store) -> None:
    with pytest.raises(TypeError), store.worker().invalidating("a", "b"):  # type: ignore[call-arg]
        store.loads = 1
    assert store.loads == 0


def test_invalidate_deletes_a_result_at_once(store: Store) -> None:
    load = store.worker()
    load("a")
    store.things["a"] = Thing("a", 2)
    assert load("a") == Thing("a", 1)
    load.invalidate("a")
    assert load("a") == Thing("a", 2)


def test_invalidating_without_with_cannot_pass_silently(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    load = store.worker()
    with pytest.warns(RuntimeWarning, match=r"does nothing without `with`") as warned:
        load.invalidating("a")
    assert warned[0].filename == __file__
    assert ".load.invalidating(...) does nothing without `with`" in caplog.text


def test_changes_at_the_same_time_leave_nothing_old(store: Store) -> None:
    workers = [store.worker() for _ in range(3)]

    def size(number: int) -> int:
        found = workers[number % 3]("a")
        assert found
        return found.size

    def change(number: int) -> None:
        with workers[number % 3].invalidating("a"):
            store.things["a"] = Thing("a", number)
            gevent.sleep(0)
        assert size(number + 1) >= number

    for start in range(0, 300, 10):
        changes = [gevent.spawn(change, start + number) for number in range(10)]
        reads = [gevent.spawn(size, number) for number in range(10)]
        gevent.joinall(changes, raise_error=True)
        gevent.joinall(reads, raise_error=True)
        assert {size(number) for number in range(3)} == {store.things["a"].size}
    assert breaker().pending_deletes == {}
