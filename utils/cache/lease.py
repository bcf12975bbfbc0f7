"""The lease: of all workers, one loads a value and stores it; the others wait for what it stores.

It is a lock: a second key beside the value's, with the token of the worker that loads. It lives
for LEASE_SECONDS and is renewed while the load takes. So a load may take long, and that of a
worker that died is soon taken over. What was loaded is stored only if the token is still there: a
change deletes it, so that nothing older than it is stored after it.
"""

import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any

import gevent

from utils.cache.breaker import breaker
from utils.cache.scripts import ACQUIRE, ACQUIRED, BUSY, READ, RELEASE_AND_STORE, RENEW
from utils.cache.single_flight import NEVER, Loaded
from utils.errors import shorten
from utils.log import logger

NONE_TTL = 5.0  # seconds: what did not exist may be created at any time
LEASE_SECONDS = 1.0
LEASE_MILLISECONDS = ceil(1000 * LEASE_SECONDS)
POLL_SECONDS = 0.02
MAX_BYTES = 4 << 20  # of a value: a larger one could not be read within REDIS_TIMEOUT


def load_and_store(key: str, load: Callable[[], bytes], ttl: float) -> Loaded:
    """Load and store a value, unless another worker does so: then return what it stores."""
    token = secrets.token_hex(8)
    try:
        asked_at = time.monotonic()
        while (found := acquire(key, token)) == BUSY:
            gevent.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))
            asked_at = time.monotonic()
        if isinstance(found, bytes):
            return Loaded(found, asked_at)
        if found != ACQUIRED:  # it is UNCERTAIN, or Redis is down: nothing may be stored
            return Loaded(load(), NEVER)
        with renewed(key, token):
            value = load()
        asked_at = time.monotonic()
        stored = release_and_store(key, token, value, milliseconds_to_live(value, ttl))
        return Loaded(value, asked_at if stored else NEVER)
    except Exception:
        release_and_store(key, token)
        raise
    except BaseException:  # the time is up, and none is left to wait for Redis
        gevent.spawn(release_and_store, key, token)
        raise


def read(key: str) -> bytes | None:
    """Return the stored value, if any; of one that is too large so much that it cannot be read."""
    found = breaker().run(READ, key, MAX_BYTES)
    return found if isinstance(found, bytes) and found else None


def acquire(key: str, token: str) -> Any:
    """Return the stored value, or BUSY, ACQUIRED or UNCERTAIN; None if Redis is down."""
    return breaker().run(ACQUIRE, key, token, LEASE_MILLISECONDS, MAX_BYTES)


@contextmanager
def renewed(key: str, token: str) -> Iterator[None]:
    """Renew the lease for as long as the block takes."""

    def renew() -> None:
        while True:
            gevent.sleep(LEASE_SECONDS / 3)
            breaker().run(RENEW, key, token, LEASE_MILLISECONDS)

    renewer = gevent.spawn(renew)
    try:
        yield
    finally:
        renewer.kill(block=False)


def release_and_store(key: str, token: str, value: bytes = b"", milliseconds: int = 0) -> bool:
    """Give the lock back and store the value, if any; return False if the lock was lost.

    It is lost if there was a change meanwhile, or if it could not be renewed.
    """
    if len(value) > MAX_BYTES:
        logger.warning("%s is not cached: it has %d bytes", shorten(key), len(value))
        value = b""
    return bool(breaker().run(RELEASE_AND_STORE, key, token, value, milliseconds))


def milliseconds_to_live(value: bytes, ttl: float) -> int:
    """Return up to a tenth less than `ttl`: what was loaded at once should not expire at once."""
    seconds = min(ttl, NONE_TTL) if value == b"null" else ttl
    return ceil(seconds * 1000 * random.uniform(0.9, 1))
