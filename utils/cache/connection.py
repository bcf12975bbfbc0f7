"""redis-py's connections, with the service's errors, and turns for others while much is read.

Of redis-py `_connect` has no public way: it returns the socket that all is read from.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.connection import AbstractConnection

from utils.errors import UnavailableError
from utils.turns import Turns

CLUSTER_ERRORS = (redis.exceptions.AskError, redis.exceptions.ClusterCrossSlotError)  # or MOVED
# Redis is down, or became a replica, or what answers is not Redis. Other errors are mistakes of
# the call, and stay.
UNAVAILABLE_ERRORS = (
    *CLUSTER_ERRORS,
    redis.ConnectionError,
    redis.TimeoutError,
    redis.InvalidResponse,
    redis.ReadOnlyError,
    redis.exceptions.ClusterDownError,  # and MasterDownError
)


class RedisUnavailableError(UnavailableError, redis.ConnectionError):
    """Redis is not available. As a ConnectionError it lets redis-py clean up after it."""


@contextmanager
def unavailable_errors(
    connection: AbstractConnection | None = None,
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
        if isinstance(error, CLUSTER_ERRORS):
            detail += "; Redis Cluster is not supported"
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


class Connection(AbstractConnection):
    """What ours have in common. A command, a pipeline, a lock and a subscription all use these."""

    def _connect(self) -> Any:
        return FairSocket(super()._connect())  # type: ignore[safe-super]  # of the class beside us

    def connect(self) -> None:
        # Whatever fails while it logs in is no mistake of the call: a database that is not there.
        with unavailable_errors(self, (redis.RedisError,)):
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


class SocketConnection(Connection, redis.UnixDomainSocketConnection):
    """One by a Unix socket."""

    host, port = "", 0  # redis-py asks for them when a connect takes too long


class TCPConnection(Connection, redis.Connection):
    """One to a host, or to the master that `find_master` names at each connect."""

    def __init__(
        self, find_master: Callable[[], tuple[str, int]] | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.find_master = find_master

    def _connect(self) -> Any:
        if self.find_master:
            self.host, self.port = self.find_master()
        return super()._connect()


class TLSConnection(TCPConnection, redis.SSLConnection):
    """The same over TLS, to a server whose certificate is verified; that is redis-py's default."""
