"""redis-py's client for this process, with bounded waits, one try, and the service's errors.

Of redis-py `_connect` has no public way: it returns the socket that all is read from.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from conf.current import settings
from utils.context import per_process
from utils.errors import UnavailableError
from utils.passwords import warn_of_clear_text
from utils.turns import Turns

# Redis is down, or became a replica, or what answers is not Redis. Other errors are mistakes of
# the call, and stay.
UNAVAILABLE_ERRORS = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.InvalidResponse,
    redis.ReadOnlyError,
    redis.exceptions.MasterDownError,
)


class RedisUnavailableError(UnavailableError, redis.ConnectionError):
    """Redis is not available. As a ConnectionError it lets redis-py clean up after it."""


@contextmanager
def unavailable_errors(
    connection: redis.Connection | None = None,
    errors: tuple[type[redis.RedisError], ...] = UNAVAILABLE_ERRORS,
) -> Iterator[None]:
    """Raise redis-py's errors of a Redis that is not available as RedisUnavailableError."""
    try:
        yield
    except RedisUnavailableError:  # one of these methods called another one
        raise
    except errors as error:
        if connection:  # the next one may lead to another Redis, which is not a replica
            connection.disconnect()
        detail = f"{type(error).__name__}: {error}"
        raise RedisUnavailableError("Redis is not available", detail=detail) from error


class FairSocket:
    """A socket that lets other greenlets, and timeouts, have their turn while much is read."""

    def __init__(self, sock: Any) -> None:
        self.sock, self.turns = sock, Turns()

    def recv(self, size: int) -> Any:
        data = self.sock.recv(size)
        self.turns.count(len(data))
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


class Connection(redis.Connection):
    """redis-py's connection. A command, a pipeline, a lock and a subscription all use these."""

    def _connect(self) -> Any:
        return FairSocket(super()._connect())

    def connect(self) -> None:
        with unavailable_errors(self, (redis.RedisError,)):  # a database that is not there, too
            super().connect()

    def can_read(self, *args: Any, **options: Any) -> bool:
        with unavailable_errors(self):
            return super().can_read(*args, **options)

    def send_packed_command(self, *args: Any, **options: Any) -> None:
        with unavailable_errors(self):
            super().send_packed_command(*args, **options)

    def read_response(self, *args: Any, **options: Any) -> Any:
        with unavailable_errors(self):
            return super().read_response(*args, **options)


class TLSConnection(Connection, redis.SSLConnection):
    """The same over TLS, to a server whose certificate is verified; that is redis-py's default."""


class Pool(redis.BlockingConnectionPool):
    """redis-py's pool; a wait for a free connection that takes too long is an UnavailableError."""

    def get_connection(self, *args: Any, **options: Any) -> Any:
        with unavailable_errors():
            return super().get_connection(*args, **options)


def make_client() -> redis.Redis:
    """Make a client with a pool of connections that are made when they are needed."""
    if not settings.redis.host:
        raise UnavailableError("Redis is not configured")
    how: dict[str, Any]
    if settings.redis.tls == "verify":
        how = {"connection_class": TLSConnection, "ssl_ca_certs": settings.redis.tls_ca or None}
    else:
        warn_of_clear_text("Redis", settings.redis.host, settings.redis.password)
        how = {"connection_class": Connection}
    pool = Pool(
        **how,
        host=settings.redis.host,
        port=settings.redis.port,
        password=settings.redis.password or None,
        db=settings.redis.db,
        max_connections=settings.redis.pool_size,
        timeout=settings.redis.timeout,  # to wait for a free connection
        socket_timeout=settings.redis.timeout,
        socket_connect_timeout=settings.redis.timeout,
        # redis-py's ten tries run a write again that was done already. And no error is one to
        # retry: after a WATCH it would become a WatchError, at which transaction() starts again.
        retry=Retry(NoBackoff(), 0, supported_errors=()),
        protocol=2,  # with RESP3 redis-py does not check that an idle connection is clean
        driver_info=None,  # saves the round trips that tell Redis the library's version
    )
    return redis.Redis(connection_pool=pool)


client = per_process(make_client)
