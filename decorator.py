"""Decorators: `expose` makes a method a route, `timer` logs how long a call takes."""

import re
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from werkzeug.routing import Map, Rule

from conf.settings import settings
from utils.log import logger

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

url_map = Map(strict_slashes=False, merge_slashes=False)
places: dict[str, str] = {}


class Route(Rule):
    """A URL rule whose requests may have a time limit of their own, in seconds."""

    def __init__(self, string: str, timeout: float | None = None, **options: Any) -> None:
        super().__init__(string, **options)
        self.timeout = settings.request_timeout if timeout is None else timeout


def expose(rule: str, **options: Any) -> Callable[[F], F]:
    """Register a method of `Server` for a URL rule, and return it untouched.

    `options` are those of werkzeug.routing.Rule, `methods` above all, and `timeout`, the
    seconds that a request may take instead of REQUEST_TIMEOUT. A rule or an endpoint that is
    taken already raises ValueError with both places.
    """

    def register(method: F) -> F:
        added = Route(rule, endpoint=method.__name__, **options)
        place = f"{method.__code__.co_filename}:{method.__code__.co_firstlineno}"
        for taken in url_map.iter_rules():
            if taken.endpoint == added.endpoint or overlap(taken, added):
                raise ValueError(
                    f"{place}: {added.endpoint} at {rule} is taken by {taken.endpoint} "
                    f"at {taken.rule} in {places[taken.endpoint]}"
                )
        places[added.endpoint] = place
        url_map.add(added)
        return method

    return register


def overlap(one: Rule, other: Rule) -> bool:
    """Tell whether a request could match either: the same form of path, a method in common."""
    if re.sub(r"[^<>:]+>", ">", one.rule) != re.sub(r"[^<>:]+>", ">", other.rule):
        return False
    return one.methods is None or other.methods is None or bool(one.methods & other.methods)


def timer(function: Callable[P, R]) -> Callable[P, R]:
    """Log at DEBUG how many milliseconds each call takes, whether it returns or raises."""

    @wraps(function)
    def timed(*args: P.args, **kwargs: P.kwargs) -> R:
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            milliseconds = (time.perf_counter() - started) * 1000
            logger.debug("%s took %.3f ms", function.__qualname__, milliseconds, stacklevel=2)

    return timed
