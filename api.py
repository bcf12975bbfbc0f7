"""The business: a class a request, checked before `process()` answers it."""

import random
import time
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from utils.api import Api


class TestResult(Struct):
    """What `/test` answers."""

    timestamp: int
    result: int


class TestApi(Api):
    """Answer an order with a random result."""

    echoed: ClassVar[tuple[str, ...]] = ("order_id",)

    order_id: Annotated[int, Meta(ge=1)]

    def process(self) -> TestResult:
        """Return the time in seconds since 1970, and -1, 0 or 1."""
        return TestResult(timestamp=int(time.time()), result=random.choice((-1, 0, 1)))
