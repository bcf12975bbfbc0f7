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
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from string import Formatter
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar, get_type_hints
from urllib.parse import quote

import gevent
import msgspec
from gevent.event import AsyncResult

from conf.settings import settings
from utils.context import remaining
from utils.errors import DeadlineError
from utils.redis_pool import AwayError, breaker, client

__all__ = ["cached", "client"]

P = ParamSpec("P")
T = TypeVar("T")
Load = Callable[[], bytes]

MISSING_SECONDS = 5.0  # how long it is remembered that something is not there
POLL_SECONDS = 0.02

# A load is announced by a lock with a token of its own. What is loaded is kept only if the lock
# is still there: a change deletes it, so that nothing older than the change is kept after it.
# Who has waited for too long takes the lock over: its holder may be dead.
ENTER = """
local value = redis.call('GET', KEYS[1])
if value then return value end
if ARGV[3] == '0' and redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
"""
LEAVE = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return redis.call('DEL', KEYS[2])
"""


class CutError(Exception):
    """Whoever was loading was cut; somebody else has to."""


class Filled(NamedTuple):
    """What was loaded, and whether it is what anyone else would load now."""

    value: bytes
    current: bool


class Cached(Generic[P, T]):
    """A function whose results are kept, as JSON, for `ttl` seconds at most; None but shortly."""

    def __init__(self, function: Callable[P, T], key: str, ttl: float) -> None:
        self.function, self.key, self.ttl = function, key, ttl
        self.signature = inspect.signature(function)
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
        except msgspec.DecodeError:  # another release of the service kept it
            self.forget(*args, **kwargs)
            return self.function(*args, **kwargs)

    def name(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of a call, in which no value can pass for two."""
        call = self.signature.bind(*args, **kwargs)
        call.apply_defaults()
        return self.key.format_map({k: quote(str(v), safe="") for k, v in call.arguments.items()})

    def once(self, key: str, load: Load) -> bytes:
        """Fill, or wait for the greenlet of this process that does so already.

        What that brings is of no use if it was changed meanwhile: the change may have been
        before this call.
        """
        while key in self.loads:
            with suppress(CutError):
                filled: Filled = self.loads[key].get()
                if filled.current:
                    return filled.value
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
        """Forget a call's result after what runs inside, however that ends.

        A transaction belongs inside as a whole: before it commits, others load what was.
        """
        try:
            yield
        finally:
            self.forget(*args, **kwargs)

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Forget a call's result, and what is being loaded for it just now."""
        key = self.name(*args, **kwargs)
        self.loads.pop(key, None)
        breaker.delete(key, lock(key), seconds=self.ttl)


def cached(key: str, ttl: float) -> Callable[[Callable[P, T]], Cached[P, T]]:
    """Keep a function's results in Redis under a key with its arguments' names in braces.

    `ttl` is in seconds. The function's return annotation says how a result is read again.
    """
    return lambda function: Cached(function, key, ttl)


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
    """Load and keep, unless another worker does so: then wait for what it keeps.

    The wait takes at most half of the time that is left, to leave enough for a load of our own.
    """
    token, patience = (
        secrets.token_hex(8),
        time.monotonic() + remaining(settings.request_timeout) / 2,
    )
    try:
        while (found := enter(key, token, time.monotonic() > patience)) == 0:
            gevent.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))
    except AwayError:
        return Filled(load(), True)
    if isinstance(found, bytes):
        return Filled(found, True)
    try:
        value = load()
    except BaseException:
        gevent.spawn(leave, key, token)  # without waiting: the time may be up
        raise
    seconds = min(ttl, MISSING_SECONDS) if value == b"null" else ttl
    milliseconds = ceil(seconds * 1000 * random.uniform(0.9, 1))
    return Filled(value, leave(key, token, value, milliseconds))


def enter(key: str, token: str, take_over: bool) -> Any:
    """Return the value that is kept, or 1 if we are to load it, or 0 if another worker is.

    The lock is kept for as long as its holder may run.
    """
    milliseconds = max(1, int(remaining(settings.request_timeout) * 1000))
    arguments = (token, milliseconds, int(take_over))
    return breaker.run("EVAL", ENTER, 2, key, lock(key), *arguments)


def leave(key: str, token: str, value: bytes = b"", milliseconds: int = 0) -> bool:
    """Keep the value, if there is one, and end the load; tell whether nothing changed meanwhile."""
    try:
        return bool(breaker.run("EVAL", LEAVE, 2, key, lock(key), token, value, milliseconds))
    except AwayError:
        return False
