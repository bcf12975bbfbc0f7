"""The Redis connections of a worker process, and a breaker that spares requests a Redis away."""

import time
from contextlib import suppress
from functools import cache
from typing import Any

import gevent
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from conf.current import settings
from utils.context import fail_after
from utils.errors import ServiceError, UnavailableError, map_exceptions
from utils.log import logger

PROBE_SECONDS = 0.5
REDIS_ERRORS: dict[type[Exception], type[ServiceError]] = {
    redis.ConnectionError: UnavailableError,
    redis.TimeoutError: UnavailableError,
}


class Client(redis.Redis):
    """redis-py's client, whose lost connections and timeouts are UnavailableErrors."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command, and return its reply."""
        with map_exceptions(REDIS_ERRORS):
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


@cache
def client() -> Client:
    """Return redis-py's own client: bounded, prompt to fail, and sending nothing twice."""
    if not settings.redis.host:
        raise UnavailableError("Redis is not configured")
    pool = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
        host=settings.redis.host,
        port=settings.redis.port,
        password=settings.redis.password or None,
        db=settings.redis.db,
        max_connections=settings.redis.pool_size,
        timeout=settings.redis.timeout,
        socket_timeout=settings.redis.timeout,
        socket_connect_timeout=settings.redis.timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,  # RESP3 skips the check that an idle connection is clean
        driver_info=None,
    )
    return Client(connection_pool=pool)


class AwayError(Exception):
    """Redis cannot be used now."""


class Breaker:
    """Runs Redis commands; opens when Redis fails, closes when it is back.

    While it is open nobody waits for Redis but one greenlet, which asks every PROBE_SECONDS.
    Keys that could not be deleted meanwhile are, before anyone reads from Redis again.
    """

    def __init__(self) -> None:
        self.open = False
        self.undeleted: dict[str, float] = {}

    def run(self, *command: Any) -> Any:
        """Run a command within REDIS_TIMEOUT as a whole, or raise AwayError."""
        if self.open or not settings.redis.host:
            raise AwayError
        try:
            return attempt(*command)
        except redis.ResponseError as error:
            logger.warning("Redis: %s", error)
            if isinstance(error, redis.ReadOnlyError):
                self.trip(error)
        except Exception as error:  # also what redis-py makes of an answer that is none
            self.trip(error)
        raise AwayError

    def delete(self, *keys: str, seconds: float) -> None:
        """Delete keys, which live for `seconds` at most: now, or as soon as Redis is back."""
        if not settings.redis.host:
            return
        try:
            if not self.open:
                attempt("DEL", *keys)
                return
        except Exception as error:
            self.trip(error)
        except BaseException as cut:  # a deadline, say
            self.remember(keys, seconds)
            self.trip(cut)
            raise
        self.remember(keys, seconds)

    def remember(self, keys: tuple[str, ...], seconds: float) -> None:
        """Note keys that are still to be deleted."""
        self.undeleted |= dict.fromkeys(keys, time.monotonic() + seconds)

    def drop_expired(self) -> None:
        """Drop the notes of keys that have expired by themselves."""
        now = time.monotonic()
        self.undeleted = {key: end for key, end in self.undeleted.items() if end > now}

    def delete_rest(self) -> None:
        """Delete what is still to be deleted, and what is noted meanwhile."""
        while batch := list(self.undeleted.items())[:1000]:
            attempt("DEL", *(key for key, _ in batch))
            for key, end in batch:
                if self.undeleted.get(key) == end:
                    del self.undeleted[key]

    def trip(self, error: BaseException) -> None:
        """Open, and go on asking whether Redis is back, on a new connection."""
        if not self.open:
            self.open = True
            client().connection_pool.disconnect(inuse_connections=False)
            logger.warning("Redis is away: %s: %s", type(error).__name__, error)
            gevent.spawn(self.probe)

    def probe(self) -> None:
        """Close as soon as Redis answers and holds nothing that should be gone."""
        while self.open:
            gevent.sleep(PROBE_SECONDS)
            self.drop_expired()
            with suppress(Exception):  # whatever it is, this has to go on
                attempt("PING")
                self.delete_rest()
                self.open = False
                logger.warning("Redis is back")


def attempt(*command: Any) -> Any:
    """Run a command; connecting and the wait for a free connection count too."""
    limit = settings.redis.timeout
    with fail_after(limit, redis.TimeoutError(f"not within {limit:g} s")):
        return redis.Redis.execute_command(client(), *command)  # type: ignore[no-untyped-call]


breaker = Breaker()
