"""A Redis that is there and refuses something: nothing old is read, and it is said once."""

from typing import Any

import gevent
import pytest
import redis as redis_py
from msgspec import structs

from conf.current import settings
from tests.support.cache import Store, Thing
from tests.support.refusals import REFUSALS, refusing
from tests.support.service import wait_until
from utils.cache import breaker as breaker_module
from utils.cache import client
from utils.cache import redis as redis_module
from utils.cache.breaker import Breaker, breaker, run
from utils.cache.redis import make_client
from utils.cache.scripts import ACQUIRE, ACQUIRED, INVALIDATE, READ, RELEASE_AND_STORE
from utils.dev.servers import Redis
from utils.errors import UnavailableError

KEY = "pyserver:thing:a"


def attempt(script: str, *args: Any) -> Any:
    """Return what a script returns, or None if Redis refuses it; as any worker may run it."""
    try:
        return run(script, [KEY], *args)
    except (redis_py.ResponseError, UnavailableError):
        return None


@pytest.mark.parametrize("what", REFUSALS)
def test_what_redis_does_not_delete_it_lets_nobody_read(redis: Redis, what: str) -> None:
    client().set(KEY, "old")
    with refusing(redis, what):
        attempt(INVALIDATE, 0)
        assert not attempt(READ, 10)
        assert attempt(ACQUIRE, "token", 1000, 10) != b"old"


@pytest.mark.parametrize("what", REFUSALS)
def test_what_a_change_overtook_is_not_stored_whatever_redis_refuses(
    redis: Redis, what: str
) -> None:
    assert attempt(ACQUIRE, "token", 5000, 10) == ACQUIRED
    with refusing(redis, what):
        attempt(INVALIDATE, 0)
        assert not attempt(RELEASE_AND_STORE, "token", "old", 1000)


@pytest.mark.parametrize("what", REFUSALS)
def test_what_redis_refuses_is_one_warning_and_an_open_circuit(
    store: Store, redis: Redis, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    load = store.worker()
    load("a")
    with refusing(redis, what):
        for number in range(2):
            with load.invalidating("a"):
                store.things["a"] = Thing("a", number)
            for name in ("a", "b", "c", "a"):
                assert load(name) == store.things.get(name)
        if breaker().open:
            assert len(caplog.records) == 1
            with pytest.raises((redis_py.RedisError, UnavailableError)):
                breaker().catch_up()
        else:  # it did without: a lease that ends in time need not be renewed
            assert caplog.text == ""
    wait_until(lambda: not breaker().open)
    store.loads = 0
    assert load("a") == load("a") == Thing("a", number)
    assert store.loads <= 1


def test_a_change_is_tried_though_the_circuit_is_open(store: Store, redis: Redis) -> None:
    """Other workers may read from Redis meanwhile: their circuits need not be open."""
    load = store.worker()
    load("a")
    breaker().open_circuit(UnavailableError())
    load.invalidate("a")
    assert breaker().open
    assert not client().exists(KEY)
    assert breaker().pending_deletes == {}


def test_no_worker_reads_before_the_others_had_time_to_delete(redis: Redis) -> None:
    client().set(KEY, "old")
    other = Breaker()
    with refusing(redis, "writes, READONLY"):
        breaker().open_circuit(UnavailableError())
        gevent.sleep(breaker_module.PROBE_SECONDS / 2)
        other.invalidate(KEY, 60)
        gevent.sleep(breaker_module.PROBE_SECONDS / 4)
    wait_until(lambda: not breaker().open)
    assert not client().exists(KEY)
    wait_until(lambda: not other.open)


def test_a_database_that_is_not_there_is_told_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    absent = structs.replace(settings.redis, db=99)
    with monkeypatch.context() as patch:
        patch.setattr(redis_module, "settings", structs.replace(settings, redis=absent))
        lost = make_client()
        patch.setattr(breaker_module, "client", lambda: lost)
        load = store.worker()
        for name in ("a", "b", "a"):
            assert load(name) == store.things.get(name)
            load.invalidate(name)
        with pytest.raises(UnavailableError) as raised:
            lost.get("a")
        assert "DB index is out of range" in raised.value.detail
        lost.close()
    assert len(caplog.records) == 1
    assert "DB index is out of range" in caplog.text
