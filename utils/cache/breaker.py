"""A circuit breaker, so that requests do not wait for a Redis that is down."""

import time
from contextlib import suppress
from math import ceil
from typing import Any, NamedTuple

import gevent
import redis

from conf.current import settings
from utils.cache.keys import lock_key
from utils.cache.redis import client
from utils.context import fail_after, per_process, spared
from utils.errors import UnavailableError, shorten
from utils.log import logger

PROBE_SECONDS = 0.5


# KEYS: key, lock. ARGV: the milliseconds in which nothing may be stored. A longer such period that
# an earlier change began is kept.
INVALIDATE = """
local uncertain = tonumber(ARGV[1])
redis.call('UNLINK', KEYS[1])
if redis.pcall('GETRANGE', KEYS[2], 0, 99) == 'uncertain' then
  uncertain = math.max(uncertain, redis.call('PTTL', KEYS[2]))
end
if uncertain > 0 then
  redis.call('SET', KEYS[2], 'uncertain', 'PX', uncertain)
else
  redis.call('UNLINK', KEYS[2])
end
"""


class PendingDelete(NamedTuple):
    """A key that has to be deleted; the times are those of time.monotonic()."""

    expires_at: float  # by then its value is gone in any case
    uncertain_until: float  # until then nothing may be stored


class Breaker:
    """Runs Redis commands. The circuit opens when Redis fails, and closes when it is back.

    While it is open, requests do without Redis, and one greenlet asks every PROBE_SECONDS. This
    process reads no key from Redis that it has yet to delete there.
    """

    def __init__(self) -> None:
        self.open = False
        self.pending_deletes: dict[str, PendingDelete] = {}

    def run(self, key: str, *args: Any) -> Any:
        """Return the reply to a command about a key, or None if it has to do without Redis."""
        if self.open or key in self.pending_deletes or not settings.redis.host:
            return None
        try:
            return command(*args)
        except redis.ResponseError as error:  # out of memory, no permission: Redis is there
            logger.warning("Redis: %s: %s", shorten(key), error)
        except Exception as error:  # redis-py raises many others if the answer is not RESP
            self.open_circuit(error)
        return None

    def invalidate(
        self, key: str, max_age: float, uncertain: float = 0.0, wait: bool = True
    ) -> None:
        """Delete a key and the lock beside it: now, or as soon as Redis is back.

        A value lives for `max_age` seconds at most. For `uncertain` seconds none is stored.
        """
        if not settings.redis.host:
            return
        now = time.monotonic()
        uncertain_until = now + uncertain
        if earlier := self.pending_deletes.get(key):
            uncertain_until = max(uncertain_until, earlier.uncertain_until)
        pending = PendingDelete(max(now + max_age, uncertain_until), uncertain_until)
        self.pending_deletes[key] = pending
        if not self.open:
            # In a greenlet of its own: a deadline that cuts the caller says nothing about Redis.
            delivery = gevent.spawn(self.try_to_deliver, key, pending)
            if wait:
                delivery.join()

    def try_to_deliver(self, key: str, delete: PendingDelete) -> None:
        """Delete a key; open the circuit if Redis fails."""
        try:
            self.deliver(key, delete)
        except Exception as error:
            self.open_circuit(error)

    def deliver(self, key: str, delete: PendingDelete) -> None:
        """Delete a key. It is pending no more then, unless it was invalidated again meanwhile."""
        uncertain = max(0.0, delete.uncertain_until - time.monotonic())
        command("EVAL", INVALIDATE, 2, key, lock_key(key), ceil(1000 * uncertain))
        if self.pending_deletes.get(key) is delete:
            del self.pending_deletes[key]

    def open_circuit(self, error: BaseException) -> None:
        """Do without Redis until it answers again."""
        if not self.open:
            self.open = True
            gevent.spawn(self.probe)
            reason = getattr(error, "detail", "") or f"{type(error).__name__}: {error}"
            logger.warning("Redis is down: %s", reason)
            client().connection_pool.disconnect(inuse_connections=False)

    def probe(self) -> None:
        """Close the circuit as soon as Redis answers, and what is pending was deleted."""
        while self.open:
            gevent.sleep(PROBE_SECONDS)
            self.drop_expired()
            with suppress(Exception):  # whatever it is, this has to go on
                command("PING")
                while self.pending_deletes:
                    for key, delete in list(self.pending_deletes.items()):
                        self.deliver(key, delete)
                self.open = False
                logger.warning("Redis is up again")

    def drop_expired(self) -> None:
        """Forget the deletes of values that have expired by themselves."""
        now, deletes = time.monotonic(), self.pending_deletes.items()
        self.pending_deletes = {key: delete for key, delete in deletes if delete.expires_at > now}


def command(*args: Any) -> Any:
    """Run a command within REDIS_TIMEOUT; the waits for a free connection and for TCP count too.

    No deadline cuts it: redis-py would have to close the connection.
    """
    limit = settings.redis.timeout
    with spared(limit), fail_after(limit, UnavailableError(f"no answer within {limit:g} s")):
        return client().execute_command(*args)


breaker = per_process(Breaker)
