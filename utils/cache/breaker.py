"""A circuit breaker, so that requests do not wait for a Redis that is down."""

import secrets
import time
from collections.abc import Sequence
from math import ceil, inf
from typing import Any, NamedTuple

import gevent
import redis

from conf.current import settings
from utils.cache.keys import lock_key, prefix
from utils.cache.redis import client
from utils.cache.scripts import CHECK, INVALIDATE
from utils.context import fail_after, per_process, spared
from utils.errors import UnavailableError
from utils.log import logger

PROBE_SECONDS = 0.1
BATCH_CHARACTERS = 10_000  # of the keys that are deleted at once


class PendingDelete(NamedTuple):
    """A key that has to be deleted; the times are those of time.monotonic()."""

    expires_at: float  # by then its value is gone in any case
    uncertain_until: float  # until then nothing may be stored


class Breaker:
    """Runs the scripts. The circuit opens when Redis fails or refuses one, and closes afterwards.

    While it is open, requests do without Redis, and one greenlet asks every PROBE_SECONDS. This
    process reads no key from Redis that it has yet to delete there.
    """

    def __init__(self) -> None:
        self.open = False
        self.pending_deletes: dict[str, PendingDelete] = {}

    def run(self, script: str, key: str, *args: Any) -> Any:
        """Return what a script returns of a key, or None if it has to do without Redis."""
        if self.open or key in self.pending_deletes or not settings.redis.configured:
            return None
        try:
            return run(script, [key], *args)
        except Exception as error:  # redis-py raises many others if the answer is not RESP
            self.open_circuit(error)
        return None

    def invalidate(
        self, key: str, max_age: float, uncertain: float = 0.0, wait: bool = True
    ) -> None:
        """Delete a key and the lock beside it: now, or as soon as Redis is back.

        A value lives for `max_age` seconds at most. For `uncertain` seconds none is stored. It is
        tried though the circuit is open: other workers' need not be.
        """
        if not settings.redis.configured:
            return
        now = time.monotonic()
        uncertain_until = now + uncertain
        if earlier := self.pending_deletes.get(key):
            uncertain_until = max(uncertain_until, earlier.uncertain_until)
        pending = PendingDelete(max(now + max_age, uncertain_until), uncertain_until)
        self.pending_deletes[key] = pending
        # In a greenlet of its own: a deadline that cuts the caller says nothing about Redis.
        delivery = gevent.spawn(self.try_to_deliver, {key: pending})
        if wait:
            with spared(settings.redis.timeout):  # the change is made: its caller should know
                delivery.join()

    def try_to_deliver(self, deletes: dict[str, PendingDelete]) -> None:
        """Delete keys; open the circuit if Redis fails."""
        try:
            self.deliver(deletes)
        except Exception as error:
            self.open_circuit(error)

    def deliver(self, deletes: dict[str, PendingDelete]) -> None:
        """Delete keys. One is pending no more then, unless it was invalidated again meanwhile."""
        now = time.monotonic()
        uncertain = [max(0.0, delete.uncertain_until - now) for delete in deletes.values()]
        run(INVALIDATE, list(deletes), *(ceil(1000 * seconds) for seconds in uncertain))
        for key, delete in deletes.items():
            if self.pending_deletes.get(key) is delete:
                del self.pending_deletes[key]

    def open_circuit(self, error: BaseException) -> None:
        """Do without Redis until it does all that it is asked again."""
        if not self.open:
            self.open = True
            gevent.spawn(self.probe)
            reason = getattr(error, "detail", "") or f"{type(error).__name__}: {error}"
            what = "refuses" if isinstance(error, redis.ResponseError) else "is down"
            logger.warning("Redis %s: %s", what, reason)
            client().connection_pool.disconnect(inuse_connections=False)

    def probe(self) -> None:
        """Close the circuit when Redis has been well for as long as all workers need to notice.

        Then they have deleted what changed meanwhile, and not only this one.
        """
        well_since = inf
        while self.open:
            gevent.sleep(PROBE_SECONDS)
            self.drop_expired()
            try:
                self.catch_up()
            except Exception:  # whatever it is, this has to go on
                well_since = inf
                continue
            now = time.monotonic()
            well_since = min(well_since, now)
            if now - well_since > settings.redis.timeout + PROBE_SECONDS:
                self.open = False
                logger.warning("Redis is up again")

    def catch_up(self) -> None:
        """Check that Redis refuses nothing, and delete what is pending."""
        run(CHECK, [f"{prefix()}:#{secrets.token_hex(8)}"])
        while self.pending_deletes:
            batch, size = {}, 0
            for key, delete in self.pending_deletes.items():
                batch[key] = delete
                size += len(key)
                if size > BATCH_CHARACTERS:
                    break
            self.deliver(batch)

    def drop_expired(self) -> None:
        """Forget the deletes of values that have expired by themselves."""
        now, deletes = time.monotonic(), self.pending_deletes.items()
        self.pending_deletes = {key: delete for key, delete in deletes if delete.expires_at > now}


def run(script: str, keys: Sequence[str], *args: Any) -> Any:
    """Run a script within REDIS_TIMEOUT; the waits for a free connection and for TCP count too.

    No deadline cuts it: redis-py would have to close the connection.
    """
    limit = settings.redis.timeout
    pairs = [name for key in keys for name in (key, lock_key(key))]
    with spared(limit), fail_after(limit, UnavailableError(f"no answer within {limit:g} s")):
        return client().execute_command("EVAL", script, len(pairs), *pairs, *args)


breaker = per_process(Breaker)
