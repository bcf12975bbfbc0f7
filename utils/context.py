"""What belongs to the request at hand, wherever in the code it is asked for."""

import contextvars
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import gevent

from utils.errors import DeadlineError

request_uuid: contextvars.ContextVar[str] = contextvars.ContextVar("request_uuid", default="-")
deadline: contextvars.ContextVar[float] = contextvars.ContextVar("deadline")
trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="")

TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)


def remaining(limit: float) -> float:
    """Return the seconds that are left of the request, at most `limit`; none may be left."""
    return min(limit, deadline.get(time.monotonic() + limit) - time.monotonic())


@contextmanager
def within(seconds: float, error: Exception) -> Iterator[None]:
    """Raise the error if what runs inside takes longer.

    What runs inside cannot take it for a fault of its own: gevent's Timeout is no Exception.
    """
    timeout = gevent.Timeout(seconds)
    try:
        with timeout:
            yield
    except gevent.Timeout as passed:
        if passed is not timeout:
            raise
        raise error from None


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Bound what runs inside, wherever it waits; raise DeadlineError when the time is up."""
    if seconds <= 0:
        raise DeadlineError
    token = deadline.set(time.monotonic() + seconds)
    try:
        with within(seconds, DeadlineError()):
            yield
    finally:
        deadline.reset(token)


def next_traceparent() -> str:
    """Return the traceparent of a call to another service (W3C Trace Context, 3.2).

    It goes on with the caller's trace, or with one that begins here; the parent is new.
    """
    caller = TRACEPARENT.fullmatch(trace.get())
    trace_id, flags = (caller[1], caller[2]) if caller else (secrets.token_hex(16), "00")
    traceparent = f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"
    trace.set(traceparent)
    return traceparent


def headers_of_a_call(limit: float) -> dict[str, str]:
    """Return what a call to another service tells it: the request's uuid, trace and deadline."""
    return {
        "X-Request-ID": request_uuid.get(),
        "X-Request-Timeout-Ms": str(max(0, int(remaining(limit) * 1000))),
        "traceparent": next_traceparent(),
    }


def inherit(greenlet: gevent.Greenlet) -> None:
    """Start a greenlet in a copy of its spawner's context; gevent starts it in an empty one."""
    greenlet.gr_context = contextvars.copy_context()


gevent.Greenlet.add_spawn_callback(inherit)
