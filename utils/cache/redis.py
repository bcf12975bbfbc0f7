"""redis-py's client for this process, with bounded waits, one try, and the service's errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import redis
import redis.client
from redis.backoff import NoBackoff
from redis.retry import Retry

from conf.current import settings
from utils.context import per_process
from utils.errors import UnavailableError
from utils.log import logger

T = TypeVar("T")

# The server became a replica, or is one that lost its master: a new connection may lead to another.
REPLICA_ERRORS = (redis.ReadOnlyError, redis.exceptions.MasterDownError)
# Redis is down, or what answers is not Redis. Other errors are mistakes of the call, and stay.
UNAVAILABLE_ERRORS = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.InvalidResponse,
    *REPLICA_ERRORS,
)


@contextmanager
def unavailable_errors() -> Iterator[None]:
    """Raise redis-py's errors of a Redis that is not available as UnavailableError."""
    try:
        yield
    except UNAVAILABLE_ERRORS as error:
        logger.warning("Redis: %s: %s", type(error).__name__, error)
        raise UnavailableError("Redis is not available") from error


class SingleTry(Retry):
    """Try once: redis-py's default of ten tries runs a write again that was done already.

    Every call goes through `call_with_retry`, be it a command, a pipeline or a subscription. So
    this is the one place where errors are translated, for whatever an api does with `client()`.
    """

    def __init__(self) -> None:
        lost = (redis.ConnectionError, redis.TimeoutError, *REPLICA_ERRORS)
        super().__init__(NoBackoff(), 0, lost)  # after these errors the connection is closed

    def call_with_retry(self, do: Callable[[], T], *args: Any, **options: Any) -> T:
        with unavailable_errors():
            try:
                return super().call_with_retry(do, *args, **options)
            except redis.WatchError as error:
                # Also of a connection lost after WATCH, even in EXEC, when the writes may be done;
                # redis-py's transaction() would run them again.
                if isinstance(error.__context__, redis.RedisError):
                    raise error.__context__ from None
                raise


class Pool(redis.BlockingConnectionPool):
    """redis-py's pool; a wait for a free connection that takes too long is an UnavailableError."""

    def get_connection(self, *args: Any, **options: Any) -> Any:
        with unavailable_errors():
            return super().get_connection(*args, **options)  # type: ignore[no-untyped-call]


class Pipeline(redis.client.Pipeline):
    """redis-py's pipeline, which ends a WATCH by closing its connection.

    redis-py sends UNWATCH; if Redis hangs, that raises another error, and loses the connection's
    place in the pool.
    """

    def reset(self) -> None:  # type: ignore[override]  # redis-py's class differs from its base
        if self.watching and self.connection:
            self.connection.disconnect()  # type: ignore[no-untyped-call]
            self.watching = False
        super().reset()


class Client(redis.Redis):
    """redis-py's client, with our pipelines."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def connection_options() -> dict[str, Any]:
    """Return what redis-py needs to connect."""
    return {
        "host": settings.redis.host,
        "port": settings.redis.port,
        "password": settings.redis.password or None,
        "db": settings.redis.db,
        "socket_timeout": settings.redis.timeout,
        "socket_connect_timeout": settings.redis.timeout,
        "protocol": 2,  # with RESP3 redis-py does not check that an idle connection is clean
        "driver_info": None,  # saves the round trips that tell Redis the library's version
    }


def make_client() -> Client:
    """Make a client with a pool of connections that are made when they are needed."""
    if not settings.redis.host:
        raise UnavailableError("Redis is not configured")
    pool = Pool(  # type: ignore[no-untyped-call]
        **connection_options(),
        max_connections=settings.redis.pool_size,
        timeout=settings.redis.timeout,  # to wait for a free connection
        retry=SingleTry(),
    )
    return Client(connection_pool=pool)


client = per_process(make_client)
