"""Turns for other greenlets while much is read.

gevent switches only where it has to wait, and a large answer may come faster than it is read: then
nothing else runs meanwhile, and no timeout ends it.
"""

import gevent

TURN_BYTES = 1 << 18
# With 0, timers had three of a hundred turns.
TURN_SECONDS = 0.0001


class Turns:
    """Call `count` with the bytes that are read: now and then it waits."""

    def __init__(self) -> None:
        self.bytes = 0

    def count(self, size: int) -> None:
        self.bytes += size
        if self.bytes > TURN_BYTES:
            self.bytes = 0
            gevent.sleep(TURN_SECONDS)
