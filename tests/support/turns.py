"""Another greenlet at work: how often it had its turn."""

from collections.abc import Iterator
from contextlib import contextmanager

import gevent


class Turns:
    count = 0


@contextmanager
def other_turns(seconds: float = 0.01) -> Iterator[Turns]:
    """Yield the turns of a greenlet that wants one after each pause of so many seconds."""
    turns = Turns()

    def work() -> None:
        while True:
            gevent.sleep(seconds)
            turns.count += 1

    worker = gevent.spawn(work)
    try:
        yield turns
    finally:
        worker.kill()
