"""redis-py's client for this process, with bounded waits, one try, and the service's errors."""

from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from conf.current import read_again, settings
from conf.groups import sentinel_addresses
from utils.cache.connection import (
    SocketConnection,
    TCPConnection,
    TLSConnection,
    unavailable_errors,
)
from utils.context import per_process
from utils.errors import UnavailableError
from utils.passwords import warn_of_clear_text


class Pool(redis.BlockingConnectionPool):
    """redis-py's pool; a wait for a free connection that takes too long is an UnavailableError."""

    def get_connection(self, *args: Any, **options: Any) -> Any:
        with unavailable_errors():
            return super().get_connection(*args, **options)


class Login(redis.CredentialProvider):
    """A user and the password of a setting, which may change while the service runs."""

    def __init__(self, name: str, known: str, user: str = "") -> None:
        self.name, self.known, self.user = name, known, user

    def get_credentials(self) -> Any:
        """Return what stands behind AUTH; nothing if there is no password."""
        password = read_again(self.name, self.known)
        if self.user:
            return self.user, password
        return (password,) if password else ()


def limits(seconds: float) -> dict[str, Any]:
    """Return the options of a connection that waits for so long at most."""
    return {
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        # redis-py's ten tries run a write again that was done already. And no error is one to
        # retry: after a WATCH it would become a WatchError, at which transaction() starts again.
        "retry": Retry(NoBackoff(), 0, supported_errors=()),
        "protocol": 2,  # with RESP3 redis-py does not check that an idle connection is clean
        "driver_info": None,  # saves the round trips that tell Redis the library's version
    }


def tls_files() -> dict[str, str | None]:
    files = settings.redis
    return {
        "ssl_ca_certs": files.tls_ca or None,
        "ssl_certfile": files.tls_cert or None,
        "ssl_keyfile": files.tls_key or None,
    }


def master_finder() -> Callable[[], tuple[str, int]]:
    """Return what asks the Sentinels where the master is, one after the other within our time."""
    addresses = sentinel_addresses(settings.redis.sentinels)
    options = limits(settings.redis.timeout / (len(addresses) + 1))
    password = settings.redis.sentinel_password
    options["credential_provider"] = Login("REDIS_SENTINEL_PASSWORD", password)
    if settings.redis.tls == "verify":
        options |= {"ssl": True, **tls_files()}
    sentinel = Sentinel(addresses, sentinel_kwargs=options)
    return lambda: sentinel.discover_master(settings.redis.master)


def place() -> dict[str, Any]:
    """Return the options that say where Redis is and how it is spoken to."""
    host = settings.redis.host
    if host.startswith("/"):
        return {"connection_class": SocketConnection, "path": host}
    where: dict[str, Any] = {"host": host, "port": settings.redis.port}
    if settings.redis.sentinels:
        where = {"find_master": master_finder()}
    if settings.redis.tls == "verify":
        return {"connection_class": TLSConnection, **where, **tls_files()}
    for name, _ in sentinel_addresses(settings.redis.sentinels) or [(host, 0)]:
        warn_of_clear_text("Redis", name, settings.redis.password)
    return {"connection_class": TCPConnection, **where}


def make_client() -> redis.Redis:
    """Make a client with a pool of connections that are made when they are needed."""
    if not settings.redis.configured:
        raise UnavailableError("Redis is not configured")
    pool = Pool(
        **place(),
        **limits(settings.redis.timeout),
        credential_provider=Login("REDIS_PASSWORD", settings.redis.password, settings.redis.user),
        db=settings.redis.db,
        max_connections=settings.redis.pool_size,
        timeout=settings.redis.timeout,  # to wait for a free connection
    )
    return redis.Redis(connection_pool=pool)


client = per_process(make_client)
