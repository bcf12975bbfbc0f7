"""How long a step takes."""

import time
from collections.abc import Callable


class timed:  # noqa: N801  reads as the context managers of contextlib do
    """Measure the block of a `with`, whether it ends or raises.

    `ms` are its milliseconds, once it is over; `report` is called with them.
    """

    def __init__(self, report: Callable[[float], object] | None = None) -> None:
        self.report = report
        self.ms = 0.0

    def __enter__(self) -> "timed":
        self.started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.ms = (time.perf_counter() - self.started) * 1000
        if self.report:
            self.report(self.ms)
