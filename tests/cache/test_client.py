"""`client()`: redis-py's own, whose loss of Redis is an UnavailableError whatever one calls."""

import os
from collections.abc import Callable
from typing import Any

import gevent
import pytest
import redis as redis_py

from conf.current import settings
from tests.support.proxy import Proxy
from tests.support.service import wait_until
from utils.cache import client
from utils.cache.breaker import breaker
from utils.context import request_deadline
from utils.dev.servers import Redis
from utils.errors import UnavailableError


def db() -> Any:
    """Return the client without redis-py's types, which are wrong for pipelines."""
    return client()


def watch() -> None:
    with db().pipeline() as pipe:
        pipe.watch("a")


def lock() -> None:
    with db().lock("lock", timeout=1):
        pass


@pytest.mark.parametrize("how", ["close", "hang"])
@pytest.mark.parametrize(
    "call",
    [
        lambda: db().get("a"),
        lambda: db().ping(),
        lambda: list(db().scan_iter("*")),
        lambda: db().register_script("return 1")(),
        lambda: db().publish("news", "x"),
        lambda: db().blpop(["queue"], timeout=1),
        lambda: db().pipeline().set("a", 1).incr("a").execute(),
        lambda: db().pipeline(transaction=False).set("a", 1).incr("a").execute(),
        lambda: db().transaction(lambda pipe: pipe.incr("a"), "a"),
        lambda: db().client().get("a"),
        watch,
        lock,
    ],
)
def test_a_lost_redis_is_an_unavailable_error_whatever_is_called(
    redis: Redis, redis_proxy: Proxy, call: Callable[[], object], how: str
) -> None:
    client().ping()
    getattr(redis_proxy, how)()
    with pytest.raises(UnavailableError, match=r"^Redis is not available$"):
        call()
    if how == "close":
        redis_proxy.open()


def in_watch(lose: Callable[[], None]) -> None:
    with db().pipeline() as pipe:
        pipe.watch("a")
        lose()
        pipe.get("a")


def before_exec(lose: Callable[[], None]) -> None:
    with db().pipeline() as pipe:
        pipe.watch("a")
        pipe.multi()
        pipe.incr("a")
        lose()
        pipe.execute()


def with_a_lock(lose: Callable[[], None]) -> None:
    with db().lock("lock", timeout=1):
        lose()


@pytest.mark.parametrize("how", ["close", "hang"])
@pytest.mark.parametrize("call", [in_watch, before_exec, with_a_lock])
def test_a_redis_that_is_lost_in_the_middle_is_an_unavailable_error(
    redis: Redis, redis_proxy: Proxy, call: Callable[[Callable[[], None]], None], how: str
) -> None:
    with pytest.raises(UnavailableError, match=r"^Redis is not available$"):
        call(getattr(redis_proxy, how))
    if how == "close":
        redis_proxy.open()


def test_a_lost_subscription_is_an_unavailable_error(redis: Redis, redis_proxy: Proxy) -> None:
    with db().pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe("news")
        wait_until(lambda: db().publish("news", "x"))
        assert wait_until(lambda: pubsub.get_message(timeout=1))["data"] == b"x"
        redis_proxy.close()
        with pytest.raises(UnavailableError):
            pubsub.get_message(timeout=1)
        with pytest.raises(UnavailableError):
            next(pubsub.listen())
        with pytest.raises(UnavailableError):
            pubsub.subscribe("weather")
        with pytest.raises(UnavailableError):
            db().pubsub().subscribe("news")
        redis_proxy.open()
        pubsub.get_message(timeout=0.1)  # subscribes again
        wait_until(lambda: db().publish("news", "y"))
        assert wait_until(lambda: pubsub.get_message(timeout=1))["data"] == b"y"


@pytest.mark.parametrize("how", ["close", "hang"])
def test_a_loss_leaks_no_connection(redis: Redis, redis_proxy: Proxy, how: str) -> None:
    pool: Any = client().connection_pool
    for call in (in_watch, before_exec, with_a_lock):
        with pytest.raises(UnavailableError):
            call(getattr(redis_proxy, how))
        redis_proxy.close()
        redis_proxy.open()
    assert pool.pool.qsize() == settings.redis.pool_size


def test_a_mistake_of_the_call_stays_redis_pys_own_error(redis: Redis) -> None:
    client().set("text", "x")
    with pytest.raises(redis_py.ResponseError):
        db().incr("text")
    with pytest.raises(redis_py.ResponseError):
        db().pipeline().incr("text").execute()
    with pytest.raises(redis_py.DataError):
        db().set("a", object())
    with pytest.raises(redis_py.exceptions.LockError):
        db().lock("free").release()


def test_a_change_of_a_watched_key_stays_a_watch_error(redis: Redis) -> None:
    with db().pipeline() as pipe:
        pipe.watch("a")
        db().incr("a")
        pipe.multi()
        pipe.incr("a")
        with pytest.raises(redis_py.WatchError):
            pipe.execute()


def test_a_transaction_starts_again_when_a_watched_key_changed(redis: Redis) -> None:
    seen = []

    def double(pipe: Any) -> None:
        seen.append(int(pipe.get("a") or 0))
        if len(seen) == 1:
            db().set("a", 7)
        pipe.multi()
        pipe.set("a", 2 * seen[-1])

    db().transaction(double, "a")
    assert seen == [0, 7]
    assert client().get("a") == b"14"


def test_a_replica_is_left_for_the_new_master(redis: Redis, redis_proxy: Proxy) -> None:
    with redis_py.Redis(port=redis.port, password=redis.password) as server:
        server.replicaof("127.0.0.1", 1)
        with pytest.raises(UnavailableError):
            client().set("a", 1)
        server.replicaof("NO", "ONE")
        before = set(redis_proxy.connections)
        client().set("a", 1)
        assert not before & redis_proxy.connections


def test_the_wait_for_a_free_connection_is_bounded(redis: Redis) -> None:
    pool = client().connection_pool
    held = [pool.get_connection() for _ in range(settings.redis.pool_size)]
    with pytest.raises(UnavailableError):
        client().get("a")
    for connection in held:
        pool.release(connection)


def delay_next(proxy: Proxy) -> None:
    """Let what is sent next arrive too late, but not what is sent after that, such as a retry."""
    proxy.delay = settings.redis.timeout
    gevent.spawn_later(settings.redis.timeout / 2, setattr, proxy, "delay", 0.0)


def test_nothing_is_sent_twice(redis: Redis, redis_proxy: Proxy) -> None:
    client().ping()
    delay_next(redis_proxy)
    with pytest.raises(UnavailableError):
        client().incr("counter")
    wait_until(lambda: client().exists("counter"))
    assert client().get("counter") == b"1"


def test_a_transaction_whose_reply_is_lost_is_not_sent_twice(
    redis: Redis, redis_proxy: Proxy
) -> None:
    def count(pipe: Any) -> None:
        pipe.multi()
        pipe.incr("counter")
        delay_next(redis_proxy)

    with request_deadline(20), pytest.raises(UnavailableError):
        db().transaction(count, "counter")
    wait_until(lambda: client().exists("counter"))
    assert client().get("counter") == b"1"


def test_a_child_process_has_a_client_and_a_breaker_of_its_own(redis: Redis) -> None:
    parents_client, parents_breaker = client(), breaker()
    read, write = os.pipe()
    if not (child := os.fork()):
        shared = client() is parents_client or breaker() is parents_breaker
        os.write(write, b"shared" if shared else b"own")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"own"
    assert client() is parents_client
