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

NONE_TTL = 5.0  # seconds: what did not exist may be created at any time
LEASE_SECONDS = 1.0
LEASE_MILLISECONDS = ceil(1000 * LEASE_SECONDS)
POLL_SECONDS = 0.02

# What ACQUIRE returns if there is no value. UNCERTAIN: a change failed, and may still be made.
BUSY, ACQUIRED, UNCERTAIN = 0, 1, 2

# KEYS: key, lock. ARGV: token, milliseconds of the lease.
# A lock that lives longer than a lease is none: Redis's clock was set back, and nobody renews it.
ACQUIRE = """
local value = redis.call('GET', KEYS[1])
if value then return value end
local holder = redis.call('GET', KEYS[2])
if holder == 'uncertain' then return 2 end
local left = redis.call('PTTL', KEYS[2])
if holder and left > 0 and left <= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
"""

# KEYS: lock. ARGV: token, milliseconds of the lease.
RENEW = """
return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

# KEYS: key, lock. ARGV: token, value or nothing, milliseconds that the value lives.
RELEASE_AND_STORE = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
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


def acquire(key: str, token: str) -> Any:
    """Return the stored value, or BUSY, ACQUIRED or UNCERTAIN; None if Redis is down."""
    return breaker().run("EVAL", ACQUIRE, 2, key, lock_key(key), token, LEASE_MILLISECONDS)


@contextmanager
def renewed(key: str, token: str) -> Iterator[None]:
    """Renew the lease for as long as the block takes."""

    def renew() -> None:
        while True:
            gevent.sleep(LEASE_SECONDS / 3)
            breaker().run("EVAL", RENEW, 1, lock_key(key), token, LEASE_MILLISECONDS)

    renewer = gevent.spawn(renew)
    try:
        yield
    finally:
        renewer.kill(block=False)


def release_and_store(key: str, token: str, value: bytes = b"", milliseconds: int = 0) -> bool:
    """Give the lock back and store the value, if any; return False if the lock was lost.

    It is lost if there was a change meanwhile, or if it could not be renewed.
    """
    keys = (key, lock_key(key))
    return bool(breaker().run("EVAL", RELEASE_AND_STORE, 2, *keys, token, value, milliseconds))


def milliseconds_to_live(value: bytes, ttl: float) -> int:
    """Return up to a tenth less than `ttl`: what was loaded at once should not expire at once."""
    seconds = min(ttl, NONE_TTL) if value == b"null" else ttl
    return ceil(seconds * 1000 * random.uniform(0.9, 1))
