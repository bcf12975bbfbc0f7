"""What belongs to the current request: its uuid, trace and deadline; and to the current process."""

import contextvars
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TypeVar

import gevent

from utils.errors import DeadlineError

T = TypeVar("T")

request_uuid: contextvars.ContextVar[str] = contextvars.ContextVar("request_uuid", default="-")
# In seconds of time.monotonic().
deadline: contextvars.ContextVar[float] = contextvars.ContextVar("deadline")
traceparent: contextvars.ContextVar[str] = contextvars.ContextVar("traceparent", default="")

TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)


def time_left(limit: float) -> float:
    """Return the seconds until the request's deadline, at most `limit`; 0 or less if it passed."""
    return min(limit, deadline.get(time.monotonic() + limit) - time.monotonic())


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


def next_traceparent() -> str:
    """Return the traceparent for a call to another service (W3C Trace Context, 3.2).

    It continues the caller's trace, or starts one, under a parent-id of its own.
    """
    caller = TRACEPARENT.fullmatch(traceparent.get())
    trace_id, flags = (caller[1], caller[2]) if caller else (secrets.token_hex(16), "00")
    value = f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"
    traceparent.set(value)
    return value


def outbound_headers(limit: float) -> dict[str, str]:
    """Return the headers of a call to another service: this request's uuid, trace and deadline."""
    return {
        "X-Request-ID": request_uuid.get(),
        "X-Request-Timeout-Ms": str(max(0, int(time_left(limit) * 1000))),
        "traceparent": next_traceparent(),
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
