"""`cached` caches a function's results in Redis. Examples, and what is promised: docs/cache.md."""

import functools
import inspect
import warnings
from collections.abc import Callable
from math import inf
from typing import Any, Generic, ParamSpec, TypeVar

import msgspec

from conf.current import settings
from utils.cache.breaker import breaker
from utils.cache.functions import check_function, return_annotation
from utils.cache.keys import check_pattern, claim, key_part, prefix
from utils.cache.lease import load_and_store, read
from utils.cache.single_flight import SingleFlight
from utils.codec import JSON_ERRORS
from utils.context import check_deadline, per_process
from utils.errors import ServiceError, shorten
from utils.log import logger

P = ParamSpec("P")
T = TypeVar("T")


def cached(key: str, ttl: float) -> Callable[[Callable[P, T]], "CachedFunction[P, T]"]:
    """Cache a function's results in Redis, as JSON, for at most `ttl` seconds.

    `key` is the pattern of their keys: "order:{order_id}" for a function of an `order_id`. The
    return annotation says how a result is read again. A None is cached for at most NONE_TTL.
    """
    return lambda function: CachedFunction(function, key, ttl)


class CachedFunction(Generic[P, T]):
    """A function whose results are cached."""

    def __init__(self, function: Callable[P, T], pattern: str, ttl: float) -> None:
        check_function(function, pattern)
        functools.update_wrapper(self, function)
        self.function, self.pattern, self.ttl = function, pattern, ttl
        self.name = f"{function.__module__}.{function.__qualname__}"
        self.signature = inspect.signature(function)
        check_pattern(pattern, self.signature)
        if not 0 < ttl < inf:
            raise ValueError(f"{pattern}: expected a ttl above 0")
        self.returns = return_annotation(function, pattern)
        self.decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(self.returns)
        self.flights = per_process(SingleFlight)
        if "<locals>" not in self.name:  # those come and go
            claim(pattern, self.name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the function's result, from Redis if it is there."""

        def load() -> bytes:
            return self.encode(self.function(*args, **kwargs))

        key = self.key_for(*args, **kwargs)
        check_deadline()
        value = read(key)
        if value is None:
            value = self.flights().load_once(key, lambda: load_and_store(key, load, self.ttl))
        try:
            return self.decoder.decode(value)
        except JSON_ERRORS as error:
            # Another release of the service stored it. While both run, they may do so in turns:
            # this call does not try its luck again.
            logger.warning("the cached value of %s cannot be read: %s", shorten(key), error)
            self.invalidate_key(key)
            return self.decoder.decode(load())

    def encode(self, result: T) -> bytes:
        """Return a result as JSON; TypeError if it could not be read again."""
        try:
            value = msgspec.json.encode(result)
            self.decoder.decode(value)
        except (TypeError, ValueError) as error:
            kinds = f"{type(result).__qualname__} under -> {inspect.formatannotation(self.returns)}"
            reason = f"the result of {self.name} cannot be cached: {kinds}: {error}"
            raise TypeError(reason) from error
        return value

    def key_for(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of a call's result."""
        call = self.signature.bind(*args, **kwargs)
        call.apply_defaults()
        parts = {name: key_part(value) for name, value in call.arguments.items()}
        return f"{prefix()}:{self.pattern.format_map(parts)}"

    def invalidating(self, *args: P.args, **kwargs: P.kwargs) -> "Invalidation":
        """Return a context manager: `with` it around a change, a call's result is invalidated.

        If the change fails, nothing is stored for as long as MySQL may still make it. A
        transaction belongs inside as a whole: before it commits, others load the old value.
        """
        return Invalidation(self, self.key_for(*args, **kwargs))

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Delete a call's result, after a change; a load that is under way stores nothing."""
        self.invalidate_key(self.key_for(*args, **kwargs))

    def invalidate_key(self, key: str, uncertain: float = 0.0, wait: bool = True) -> None:
        """Delete a result, at once or when Redis is back; store none for `uncertain` seconds."""
        breaker().invalidate(key, self.ttl + settings.request_timeout, uncertain, wait)


class Invalidation:
    """What `invalidating` returns; it does its work at the end of a `with`."""

    def __init__(self, function: CachedFunction[..., Any], key: str) -> None:
        self.function, self.key = function, key
        self.entered = False

    def __enter__(self) -> None:
        self.entered = True

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        uncertain = settings.uncertain_seconds if may_be_made(error) else 0.0
        time_is_up = error is not None and not isinstance(error, Exception)
        self.function.invalidate_key(self.key, uncertain, wait=not time_is_up)

    def __del__(self) -> None:
        # Python says the same of a coroutine that was never awaited.
        if not self.entered:
            message = f"{self.function.name}.invalidating(...) does nothing without `with`"
            logger.error(message)
            warnings.warn(message, RuntimeWarning, stacklevel=2)


def may_be_made(error: BaseException | None) -> bool:
    """Return whether a change that failed may still be made, later.

    Not if the api refused it itself by a 4xx, or what failed is undone, and nothing failed before.
    """
    while isinstance(error, ServiceError) and (error.status < 500 or error.undone):
        error = error.__context__
    return error is not None
