"""`cached` keeps in Redis what is dear to load, and loads it once for all who want it.

    @cached("order:{order_id}", ttl=60)
    def load_order(order_id: int) -> Order | None:
        return mysql.row("SELECT * FROM orders WHERE order_id = %s", order_id, into=Order)

    with load_order.changing(order_id):
        mysql.execute("UPDATE orders SET ... WHERE order_id = %s", order_id)

Without Redis the function is just called. `client()` is redis-py's own, for anything else.
"""

import inspect
import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from string import Formatter
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar, get_type_hints
from urllib.parse import quote

import gevent
import msgspec
from gevent.event import AsyncResult

from conf.current import settings
from utils.cache.redis import AwayError, breaker, client
from utils.errors import DeadlineError
from utils.log import logger

__all__ = ["cached", "client"]

P = ParamSpec("P")
T = TypeVar("T")
Load = Callable[[], bytes]

MISSING_SECONDS = 5.0  # how long it is remembered that something is not there
POLL_SECONDS = 0.02

# A load is announced by a lock with a token of its own. What is loaded is kept only if the lock
# is still there: a change deletes it, so that nothing older than the change is kept after it.
ENTER = """
local value = redis.call('GET', KEYS[1])
if value then return value end
local holder = redis.call('GET', KEYS[2])
if holder then return holder == 'unclear' and 2 or 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
"""
RENEW = """
return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
LEAVE = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""
# After a change of which nobody knows whether it was done, or still will be, nothing is kept.
DOUBT = """
redis.call('SET', KEYS[2], 'unclear', 'PX', ARGV[1])
return redis.call('DEL', KEYS[1])
"""
BUSY, UNCLEAR = 0, 2
LEASE_SECONDS = 1.0  # how long the lock of a worker that died is in the way


class CutError(Exception):
    """Whoever was loading was cut; somebody else has to."""


class Filled(NamedTuple):
    """What was loaded, and whether nothing changed meanwhile."""

    value: bytes
    current: bool


class Cached(Generic[P, T]):
    """A function whose results are kept, as JSON, for `ttl` seconds at most; None but shortly."""

    def __init__(self, function: Callable[P, T], key: str, ttl: float) -> None:
        self.function, self.key, self.ttl = function, key, ttl
        self.signature = inspect.signature(function)
        if ttl <= 0:
            raise ValueError(f"{key}: expected a ttl above 0")
        if {name for _, name, *_ in Formatter().parse(key) if name} != {*self.signature.parameters}:
            raise ValueError(f"{key}: expected the name of each argument of {function} in braces")
        self.decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(
            get_type_hints(function)["return"]
        )
        self.loads: dict[str, AsyncResult] = {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the function's result, from Redis if it is there."""

        def load() -> bytes:
            return msgspec.json.encode(self.function(*args, **kwargs))

        key = self.name(*args, **kwargs)
        value = kept(key) or self.once(key, load)
        try:
            return self.decoder.decode(value)
        except msgspec.DecodeError as error:  # another release of the service kept it
            logger.warning("what is kept as %s cannot be read: %s", key, error)
            self.forget(*args, **kwargs)
            return self.function(*args, **kwargs)

    def name(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of a call, in which no value can pass for two, but 7 for "7"."""
        call = self.signature.bind(*args, **kwargs)
        call.apply_defaults()
        return self.key.format_map({name: part(v) for name, v in call.arguments.items()})

    def once(self, key: str, load: Load) -> bytes:
        """Fill, or wait for the greenlet of this process that does so already.

        If something changed meanwhile, that may have been before this call: what was loaded is
        of no use then, but what anyone loads from now on is.
        """
        waited = False
        while result := self.loads.get(key):
            with suppress(CutError):
                filled: Filled = result.get()
                if filled.current or waited:
                    return filled.value
            waited = True
        result = self.loads[key] = AsyncResult()
        try:
            filled = fill(key, load, self.ttl)
            result.set(filled)
            return filled.value
        except BaseException as error:
            cut = isinstance(error, DeadlineError) or not isinstance(error, Exception)
            result.set_exception(CutError() if cut else error)
            raise
        finally:
            if self.loads.get(key) is result:
                del self.loads[key]

    @contextmanager
    def changing(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[None]:
        """Forget a call's result after what runs inside.

        If that fails, nothing is kept for as long as it may still be done by MySQL. A
        transaction belongs inside as a whole: before it commits, others load what was.
        """
        key = self.name(*args, **kwargs)
        try:
            yield
        except Exception:
            self.doubt(key)
            raise
        except BaseException:  # the time is up, and none is left to wait for Redis
            gevent.spawn(self.doubt, key)
            raise
        self.drop(key)

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Forget a call's result, and what is being loaded for it just now."""
        self.drop(self.name(*args, **kwargs))

    def drop(self, key: str) -> None:
        """Delete the key and the lock of whoever loads it, at once or when Redis is back."""
        self.loads.pop(key, None)
        breaker.delete(key, lock(key), seconds=self.ttl + settings.request_timeout)

    def doubt(self, key: str) -> None:
        """Delete the key, and have nothing kept until MySQL has ended what was given up."""
        self.loads.pop(key, None)
        seconds = settings.mysql.connect_timeout + settings.mysql.read_timeout
        try:
            breaker.run("EVAL", DOUBT, 2, key, lock(key), ceil(seconds * 1000))
        except AwayError:
            self.drop(key)


def cached(key: str, ttl: float) -> Callable[[Callable[P, T]], Cached[P, T]]:
    """Keep a function's results in Redis under a key with its arguments' names in braces.

    `ttl` is in seconds. The function's return annotation says how a result is read again.
    """
    return lambda function: Cached(function, key, ttl)


def part(value: Any) -> str:
    """Return a value as a part of a key."""
    return quote(str(value), safe="") if type(value) in (str, int) else f"={value!r}"


def lock(key: str) -> str:
    """Return the key of the lock that announces a load."""
    return f"{key}:lock"


def kept(key: str) -> bytes | None:
    """Return the value that is kept, if any."""
    try:
        value: bytes | None = breaker.run("GET", key)
    except AwayError:
        return None
    return value


def fill(key: str, load: Load, ttl: float) -> Filled:
    """Load and keep, unless another worker does so: then wait for what it keeps."""
    token = secrets.token_hex(8)
    try:
        while (found := enter(key, token)) == BUSY:
            gevent.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))
        if isinstance(found, bytes):
            return Filled(found, True)
        if found == UNCLEAR:
            return Filled(load(), False)
        with renewed(key, token):
            value = load()
    except AwayError:
        return Filled(load(), False)
    except BaseException:
        gevent.spawn(leave, key, token)  # without waiting: the time may be up
        raise
    seconds = min(ttl, MISSING_SECONDS) if value == b"null" else ttl
    milliseconds = ceil(seconds * 1000 * random.uniform(0.9, 1))
    return Filled(value, leave(key, token, value, milliseconds))


def enter(key: str, token: str) -> Any:
    """Return the value that is kept; or 1 if we are to load it, BUSY if another worker is.

    It is UNCLEAR for a while after a change that failed: load it, but keep nothing.
    """
    return breaker.run("EVAL", ENTER, 2, key, lock(key), token, ceil(LEASE_SECONDS * 1000))


@contextmanager
def renewed(key: str, token: str) -> Iterator[None]:
    """Hold the lock for as long as a load takes."""

    def renew() -> None:
        while True:
            gevent.sleep(LEASE_SECONDS / 3)
            with suppress(AwayError):
                breaker.run("EVAL", RENEW, 1, lock(key), token, ceil(LEASE_SECONDS * 1000))

    renewer = gevent.spawn(renew)
    try:
        yield
    finally:
        renewer.kill(block=False)


def leave(key: str, token: str, value: bytes = b"", milliseconds: int = 0) -> bool:
    """Keep the value, if there is one, and end the load; tell whether nothing changed meanwhile."""
    try:
        return bool(breaker.run("EVAL", LEAVE, 2, key, lock(key), token, value, milliseconds))
    except AwayError:
        return False
