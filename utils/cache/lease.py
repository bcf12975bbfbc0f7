"""The lease: of all workers, one loads a value and stores it; the others wait for what it stores.

It is a lock: a second key beside the value's, with the token of the worker that loads. It lives
for LEASE_SECONDS and is renewed while the load takes. So a load may take long, and that of a
worker that died is soon taken over. What was loaded is stored only if the token is still there: a
change deletes it (INVALIDATE in breaker.py), so that nothing older than it is stored after it.

Redis runs each Lua script as one step, between other clients' commands.
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
from utils.cache.keys import lock_key
from utils.cache.single_flight import NEVER, Loaded
from utils.errors import shorten
from utils.log import logger

NONE_TTL = 5.0  # seconds: what did not exist may be created at any time
LEASE_SECONDS = 1.0
LEASE_MILLISECONDS = ceil(1000 * LEASE_SECONDS)
POLL_SECONDS = 0.02
MAX_BYTES = 4 << 20  # of a value: a larger one could not be read within REDIS_TIMEOUT

# What ACQUIRE returns if there is no value. UNCERTAIN: a change failed, and may still be made.
BUSY, ACQUIRED, UNCERTAIN = 0, 1, 2

# KEYS: key, lock. ARGV: token, milliseconds of the lease, MAX_BYTES.
# What is of another type or large counts as not there, and is overwritten: for the one pcall
# returns a table, and of the other GETRANGE reads no more than the longest that is ours.
# A lock that lives longer than a lease is none: Redis's clock was set back, and nobody renews it.
ACQUIRE = """
local value = redis.pcall('GETRANGE', KEYS[1], 0, ARGV[3])
if type(value) == 'string' and value ~= '' then return value end
local holder = redis.pcall('GETRANGE', KEYS[2], 0, 99)
local left = redis.call('PTTL', KEYS[2])
if holder == 'uncertain' and left > 0 then return 2 end
local is_lease = left > 0 and left <= tonumber(ARGV[2])
if is_lease and type(holder) == 'string' and holder ~= '' then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
"""

# KEYS: lock. ARGV: token, milliseconds of the lease.
RENEW = """
if redis.pcall('GETRANGE', KEYS[1], 0, 99) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

# KEYS: key, lock. ARGV: token, value or nothing, milliseconds that the value lives.
RELEASE_AND_STORE = """
if redis.pcall('GETRANGE', KEYS[2], 0, 99) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""


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
    found = breaker().run(key, "GETRANGE", key, 0, MAX_BYTES)
    return found if isinstance(found, bytes) and found else None


def acquire(key: str, token: str) -> Any:
    """Return the stored value, or BUSY, ACQUIRED or UNCERTAIN; None if Redis is down."""
    args = (token, LEASE_MILLISECONDS, MAX_BYTES)
    return breaker().run(key, "EVAL", ACQUIRE, 2, key, lock_key(key), *args)


@contextmanager
def renewed(key: str, token: str) -> Iterator[None]:
    """Renew the lease for as long as the block takes."""

    def renew() -> None:
        while True:
            gevent.sleep(LEASE_SECONDS / 3)
            breaker().run(key, "EVAL", RENEW, 1, lock_key(key), token, LEASE_MILLISECONDS)

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
    args = (key, lock_key(key), token, value, milliseconds)
    return bool(breaker().run(key, "EVAL", RELEASE_AND_STORE, 2, *args))


def milliseconds_to_live(value: bytes, ttl: float) -> int:
    """Return up to a tenth less than `ttl`: what was loaded at once should not expire at once."""
    seconds = min(ttl, NONE_TTL) if value == b"null" else ttl
    return ceil(seconds * 1000 * random.uniform(0.9, 1))
