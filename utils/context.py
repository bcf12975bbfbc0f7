"""What belongs to the current request: its uuid, trace and deadline; and to the current process."""

import contextvars
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TypeVar

import gevent

from utils.errors import DeadlineError
from utils.trace import next_baggage, next_traceparent, next_tracestate

T = TypeVar("T")

request_uuid: contextvars.ContextVar[str] = contextvars.ContextVar("request_uuid", default="-")
# In seconds of time.monotonic().
deadline: contextvars.ContextVar[float] = contextvars.ContextVar("deadline")
# As the caller sent them; `outbound_headers` drops what is malformed.
traceparent: contextvars.ContextVar[str] = contextvars.ContextVar("traceparent", default="")
tracestate: contextvars.ContextVar[str] = contextvars.ContextVar("tracestate", default="")
baggage: contextvars.ContextVar[str] = contextvars.ContextVar("baggage", default="")


def time_left(limit: float) -> float:
    """Return the seconds until the request's deadline, at most `limit`; 0 or less if it passed."""
    return min(limit, deadline.get(math.inf) - time.monotonic())


@contextmanager
def fail_after(seconds: float, error: Exception) -> Iterator[None]:
    """Raise the error if the block takes longer.

    Inside the block it is gevent's Timeout, a BaseException: no `except Exception` there, of a
    library for one, can take it for an error of its own.
    """
    timeout = gevent.Timeout(seconds)
    try:
        with timeout:
            yield
    except gevent.Timeout as raised:
        if raised is not timeout:
            raise
        raise error from None


@contextmanager
def request_deadline(seconds: float) -> Iterator[None]:
    """Raise DeadlineError if the block takes longer, wherever it waits at that moment."""
    if seconds <= 0:
        raise DeadlineError
    token = deadline.set(time.monotonic() + seconds)
    try:
        with fail_after(seconds, DeadlineError()):
            yield
    finally:
        deadline.reset(token)


def outbound_headers(limit: float) -> dict[str, str]:
    """Return the headers of a call to another service that takes at most `limit` seconds.

    They are this request's uuid, the time it has left, its trace and its baggage.
    """
    caller = traceparent.get()
    parent, state = next_traceparent(caller), next_tracestate(caller, tracestate.get())
    # A trace that begins here goes on in the next call. A tracestate that was dropped for its
    # malformed traceparent must not come back with it.
    traceparent.set(parent)
    tracestate.set(state)
    optional = {"tracestate": state, "baggage": next_baggage(baggage.get())}
    return {
        "X-Request-ID": request_uuid.get(),
        "X-Request-Timeout-Ms": str(max(0, int(time_left(limit) * 1000))),
        "traceparent": parent,
        **{name: value for name, value in optional.items() if value},
    }


def per_process(make: Callable[[], T]) -> Callable[[], T]:
    """Make one object per process, at its first use: a fork must not share connections.

    A child keeps its parent's object but never uses it: dropping it would run finalizers that
    shut down connections which the parent still uses.
    """
    made: dict[int, T] = {}

    @wraps(make)
    def get() -> T:
        pid = os.getpid()
        if pid not in made:
            made[pid] = make()
        return made[pid]

    return get


def inherit_context(greenlet: "gevent.Greenlet[..., object]") -> None:
    """Start a greenlet in a copy of its spawner's context; gevent starts it in an empty one."""
    greenlet.gr_context = contextvars.copy_context()


def setup() -> None:
    """Let this process's greenlets inherit the context of the one that spawned them.

    Call it once per process, when a worker starts: gevent keeps each callback that it is given.
    """
    gevent.Greenlet.add_spawn_callback(inherit_context)
