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

from utils.errors import DeadlineError, NotBegunError
from utils.trace import next_baggage, next_traceparent, next_tracestate

T = TypeVar("T")

# How long a step that has begun at MySQL or Redis is spared though its request's time is up: to cut
# it costs others a connection, a KILL, and perhaps a key that cannot be cached for a while.
STEP_SECONDS = 0.5

request_uuid: contextvars.ContextVar[str] = contextvars.ContextVar("request_uuid", default="-")
# In seconds of time.monotonic().
deadline: contextvars.ContextVar[float] = contextvars.ContextVar("deadline")
# What cuts the request, and the greenlet that it cuts; greenlets which that one spawns inherit it.
cutter: contextvars.ContextVar[tuple[gevent.Timeout, object]] = contextvars.ContextVar("cutter")
# As the caller sent them; `outbound_headers` drops what is malformed.
traceparent: contextvars.ContextVar[str] = contextvars.ContextVar("traceparent", default="")
tracestate: contextvars.ContextVar[str] = contextvars.ContextVar("tracestate", default="")
baggage: contextvars.ContextVar[str] = contextvars.ContextVar("baggage", default="")


def time_left(limit: float) -> float:
    """Return the seconds until the request's deadline, at most `limit`; 0 or less if it passed."""
    return min(limit, deadline.get(math.inf) - time.monotonic())


@contextmanager
def fail_after(seconds: float, error: Exception) -> Iterator[gevent.Timeout]:
    """Raise the error if the block takes longer."""
    # In the block it is gevent's, a BaseException: a library's `except Exception` misses it.
    timeout = gevent.Timeout(seconds)
    try:
        with timeout:
            yield timeout
    except gevent.Timeout as raised:
        if raised is not timeout:
            raise
        raise error from None


@contextmanager
def request_deadline(seconds: float) -> Iterator[None]:
    """Raise DeadlineError if the block takes longer, wherever it waits at that moment."""
    if seconds <= 0:
        raise DeadlineError
    with fail_after(seconds, DeadlineError()) as timeout:
        ends_at = deadline.set(time.monotonic() + seconds)
        cut_by = cutter.set((timeout, gevent.getcurrent()))
        try:
            yield
        finally:
            cutter.reset(cut_by)
            deadline.reset(ends_at)


def own_timeout() -> gevent.Timeout | None:
    """Return the request's timeout, if this greenlet is the one that it will cut."""
    timeout, greenlet = cutter.get((None, None))
    return timeout if timeout and timeout.pending and greenlet is gevent.getcurrent() else None


def check_deadline() -> None:
    """Raise NotBegunError if the request's time is up: the step that comes next is not begun."""
    if time_left(math.inf) <= 0 and own_timeout():
        raise NotBegunError


@contextmanager
def spared(seconds: float = STEP_SECONDS) -> Iterator[None]:
    """Let the request's deadline not cut the block in its first `seconds`.

    A caller chooses its deadline: one that is always in haste must not cost all others what it
    cuts. The step after it is not begun: see check_deadline.
    """
    timeout = own_timeout() if time_left(seconds) < seconds else None
    if timeout:
        postpone(timeout, seconds)
    try:
        yield
    finally:
        if timeout and timeout.pending:
            postpone(timeout, max(0.0, time_left(math.inf)))


def postpone(timeout: gevent.Timeout, seconds: float) -> None:
    timeout.close()
    timeout.timer = gevent.get_hub().loop.timer(seconds, priority=-1)  # as its own __init__ does
    timeout.start()


def outbound_headers(limit: float) -> dict[str, str]:
    """Return the headers of a call to another service that takes at most `limit` seconds."""
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
    """Make one object per process, at its first use: a fork must not share connections."""
    # A child keeps its parent's object but never uses it: dropping it would run finalizers that
    # shut down connections which the parent still uses.
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
    """Let greenlets inherit the context of what spawned them; call it once per process."""
    gevent.Greenlet.add_spawn_callback(inherit_context)
