"""Sockets that are read while other greenlets have their turns.

gevent switches only where it has to wait, and a large answer may come faster than it is read: then
nothing else runs meanwhile, and no timeout ends it.
"""

import select
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import gevent
from gevent.monkey import get_original

TURN_BYTES = 1 << 18
# With 0, timers had three of a hundred turns.
TURN_SECONDS = 0.0001
ITEM_COST = 256  # in bytes that take as long
T = TypeVar("T")


class Turns:
    """Call `count` with the bytes that are read: now and then it waits."""

    def __init__(self) -> None:
        self.bytes = 0

    def count(self, size: int) -> None:
        self.bytes += size
        if self.bytes > TURN_BYTES:
            self.bytes = 0
            gevent.sleep(TURN_SECONDS)


def fairly(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, for work that takes a few microseconds with each."""
    turns = Turns()
    for item in items:
        turns.count(ITEM_COST)
        yield item


class FairReads:
    """A socket before each of whose reads other greenlets, and timeouts, get their turn."""

    def recv_into(self, *args: Any, **options: Any) -> int:
        # A peer could keep http.client in a loop for ever: it skips `100 Continue` without end.
        gevent.sleep(0)
        return super().recv_into(*args, **options)  # type: ignore[misc, no-any-return]


def is_readable(sock: Any) -> bool:
    """Return whether a read would not wait: there is data, or the other side has closed."""
    # Not gevent's poll: even for 0 s it switches to another greenlet, and takes 18 us, this 1 us.
    poll = get_original("select", "poll")()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
