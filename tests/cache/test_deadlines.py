"""A caller in haste: what its deadline cuts is not Redis's fault, and costs others nothing."""

from collections.abc import Callable, Iterator

import gevent
import pytest
import redis as redis_py
from msgspec import structs

from conf.current import settings
from tests.support.cache import Store, Thing
from tests.support.proxy import Proxy
from tests.support.service import wait_until
from utils.cache import breaker as breaker_module
from utils.cache import lease
from utils.cache import redis as redis_module
from utils.cache.breaker import breaker
from utils.cache.redis import make_client
from utils.context import request_deadline
from utils.dev.servers import Redis
from utils.errors import DeadlineError, NotBegunError, UnavailableError

Client = redis_py.Redis

DELAY = 0.1  # twice for each command
HASTE = 0.01


@pytest.fixture
def client(redis: Redis, redis_proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client of a slow Redis, with more patience than a busy machine needs."""
    patient = structs.replace(settings, redis=structs.replace(settings.redis, timeout=20.0))
    with monkeypatch.context() as patch:
        patch.setattr(redis_module, "settings", patient)
        patch.setattr(breaker_module, "settings", patient)
        client = make_client()
        patch.setattr(breaker_module, "client", lambda: client)
        client.ping()
        redis_proxy.delay = DELAY
        yield client
    client.close()


def in_haste(call: Callable[[], object]) -> None:
    """Call with a deadline that passes while Redis works."""
    with pytest.raises(DeadlineError), request_deadline(HASTE):
        call()
        gevent.sleep(60)


def test_a_deadline_opens_no_circuit_and_closes_no_connection(
    store: Store, client: Client, redis_proxy: Proxy
) -> None:
    load, before = store.worker(), set(redis_proxy.connections)
    in_haste(lambda: load("a"))
    in_haste(lambda: load.invalidate("a"))
    assert not breaker().open
    assert load("a") == Thing("a", 1)
    client.ping()  # what was closed before this is seen by the proxy
    assert before <= redis_proxy.connections
    assert len(redis_proxy.connections) <= len(before) + 2


@pytest.mark.parametrize("cut", [gevent.GreenletExit, gevent.Timeout])
def test_a_greenlet_that_is_killed_opens_no_circuit(
    store: Store, client: Client, redis_proxy: Proxy, cut: type[BaseException]
) -> None:
    load = store.worker()
    for call in (load, load.invalidate):
        greenlet = gevent.spawn(call, "a")
        gevent.sleep(HASTE)
        greenlet.kill(cut)
    wait_until(lambda: not breaker().pending_deletes)
    assert not breaker().open


def test_a_reply_to_who_was_cut_reaches_nobody_else(client: Client, redis_proxy: Proxy) -> None:
    client.mset({f"key {number}": f"value {number}" for number in range(60)})

    def get(number: int) -> bool:
        return client.get(f"key {number}") == f"value {number}".encode()

    def spawn(numbers: range) -> "list[gevent.Greenlet[..., bool]]":
        return [gevent.spawn(get, number) for number in numbers]

    gevent.joinall(spawn(range(40)))  # all have a connection now
    for cut in (gevent.GreenletExit, gevent.Timeout):
        calls = spawn(range(40))
        gevent.sleep(1.5 * DELAY)  # so that replies are on their way
        for call in calls[::2]:
            call.kill(cut)
        calls = calls[1::2] + spawn(range(40, 60))
        gevent.joinall(calls, raise_error=True)
        assert all(call.value for call in calls)


def test_what_a_deadline_did_not_let_begin_leaves_no_doubt(store: Store) -> None:
    load = store.worker()
    with pytest.raises(NotBegunError), load.invalidating("a"):
        raise NotBegunError
    assert [load("a"), load("a")] == [Thing("a", 1)] * 2
    assert store.loads == 1


def test_what_hides_a_change_in_doubt_leaves_one(store: Store, uncertain_for_long: float) -> None:
    load = store.worker()
    with pytest.raises(NotBegunError), load.invalidating("a"):
        try:
            raise UnavailableError
        except UnavailableError:
            raise NotBegunError from None
    assert [load("a"), load("a")] == [Thing("a", 1)] * 2
    assert store.loads == 2


def test_a_change_whose_time_is_up_while_redis_deletes_is_told_as_done(
    store: Store, client: Client, redis_proxy: Proxy
) -> None:
    load = store.worker()
    with request_deadline(HASTE), load.invalidating("a"):
        store.things["a"] = Thing("a", 2)
    assert breaker().pending_deletes == {}


def test_a_key_that_is_being_deleted_is_not_read(
    store: Store, client: Client, redis_proxy: Proxy
) -> None:
    load = store.worker()
    load("a")
    redis_proxy.hang()
    deletion = gevent.spawn(load.invalidate, "a")
    wait_until(lambda: breaker().pending_deletes)
    store.things["a"] = Thing("a", 2)
    assert load("a") == Thing("a", 2)
    redis_proxy.go_on()
    deletion.join()
    assert not breaker().open


def test_who_loads_for_others_stores_it_though_its_time_is_up(
    store: Store, client: Client, redis_proxy: Proxy
) -> None:
    load = store.worker()
    in_haste(lambda: load("a"))
    redis_proxy.delay = 0
    assert load("a") == Thing("a", 1)
    assert store.loads == 1


def test_who_is_cut_while_it_loads_holds_no_lock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_MILLISECONDS", 60_000)
    load = store.worker()
    store.hold()
    in_haste(lambda: load("a"))
    store.let(2)
    with request_deadline(20):
        assert load("a") == Thing("a", 1)
    assert store.loads == 2
