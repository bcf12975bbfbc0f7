"""A function's transaction, run again after a deadlock."""

import random
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import gevent

from utils.mysql.errors import RetryableError

P = ParamSpec("P")
R = TypeVar("R")
LONGEST_PAUSE = 0.02  # seconds, doubled each time; without one, two that collide do so again


def retrying(attempts: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function to run it up to so many times, as long as it raises RetryableError.

    All of its transaction has to be in it, and nothing that is not to be done again.
    """
    if attempts < 1:
        raise ValueError(f"{attempts} attempts")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            for attempt in range(attempts - 1):
                try:
                    return function(*args, **kwargs)
                except RetryableError:
                    gevent.sleep(random.uniform(0, LONGEST_PAUSE * 2**attempt))
            return function(*args, **kwargs)

        return run

    return decorate
