"""`expose` makes a method of `Server` a route."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from werkzeug.routing import Map, Rule

from conf.current import settings

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
