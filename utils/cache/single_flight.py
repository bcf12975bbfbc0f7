"""Single flight: the greenlets of a process that want the same value share one load of it."""

import time
from collections.abc import Callable
from typing import NamedTuple, cast

import gevent
from gevent.event import AsyncResult

from utils.errors import DeadlineError

NEVER = float("-inf")


class LoadCancelledError(Exception):
    """The request that was loading ran out of time; another one has to load."""


class Loaded(NamedTuple):
    """A value, and the time.monotonic() when it was known to be current; NEVER: it may be old."""

    value: bytes
    current_at: float


class Flight:
    """A load that is under way, and the greenlet that loads."""

    def __init__(self) -> None:
        self.greenlet = gevent.getcurrent()
        self.result: AsyncResult[Loaded] = AsyncResult()


class SingleFlight:
    """The loads that are under way, by key."""

    def __init__(self) -> None:
        self.in_flight: dict[str, Flight] = {}

    def load_once(self, key: str, load: Callable[[], Loaded]) -> bytes:
        """Load the value, or share the load that another greenlet has begun.

        A load that a change overtook may hold the old value. A greenlet that joined it waits for
        the next one, which began after this call, and so after any change that it has to see.
        """
        called_at = time.monotonic()
        joined = 0
        while flight := self.in_flight.get(key):
            if flight.greenlet is gevent.getcurrent():
                raise RecursionError(f"the load of {key} calls for {key}")
            joined += 1
            try:
                loaded = cast(Loaded, flight.result.get())
            except LoadCancelledError:  # its request ran out of time, ours need not
                continue
            if loaded.current_at >= called_at or joined > 1:
                return loaded.value
        return self.begin_load(key, load)

    def begin_load(self, key: str, load: Callable[[], Loaded]) -> bytes:
        """Load the value, and give it or the error to those that join meanwhile."""
        flight = self.in_flight[key] = Flight()
        try:
            loaded = load()
            flight.result.set(loaded)
            return loaded.value
        except BaseException as error:
            ours_alone = isinstance(error, DeadlineError) or not isinstance(error, Exception)
            flight.result.set_exception(LoadCancelledError() if ours_alone else error)
            raise
        finally:
            del self.in_flight[key]
