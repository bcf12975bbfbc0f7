"""What the tests of the example share: its table, and clients of a running service."""

import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event

from tests.support.service import ROOT, Service

CREATE = (ROOT / "conf/migrations/0001_create_orders.sql").read_text()

# A bound for requests that must not wait: far above what a busy machine needs for one, and below
# REQUEST_TIMEOUT, at which any request ends.
SOON = 5.0


class Reply:
    """What came of one request."""

    def __init__(self, service: Service, *request: Any, **headers: str) -> None:
        self.started = time.monotonic()
        self.status, self.envelope, _ = service.request(*request, **headers)
        self.seconds = time.monotonic() - self.started

    @property
    def err_code(self) -> int:
        return int(self.envelope["err_code"])


def create(service: Service) -> Reply:
    """Create an order."""
    return Reply(service, "/orders", '{"item":"mate"}')


def read(service: Service) -> Reply:
    """List the orders."""
    return Reply(service, "/orders", None, "GET")


def show(service: Service, **headers: str) -> Reply:
    """Show order 7."""
    return Reply(service, "/orders/7", None, "GET", **headers)


class Clients:
    """Clients that call again and again inside a `with`, and keep the replies."""

    def __init__(self, number: int, call: Callable[[], Reply]) -> None:
        self.number, self.call = number, call
        self.replies: list[Reply] = []
        self.stopping = Event()

    def __enter__(self) -> "Clients":
        self.greenlets = [gevent.spawn(self.work) for _ in range(self.number)]
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        gevent.joinall(self.greenlets, raise_error=True)

    def work(self) -> None:
        """Call until told to stop."""
        while not self.stopping.wait(0.02):
            self.replies.append(self.call())

    def since(self, moment: float) -> list[Reply]:
        """Return the replies to requests that began after a moment."""
        return [reply for reply in self.replies if reply.started > moment]

    def are_well(self) -> bool:
        """Return whether the last reply to each client was a success."""
        last = self.replies[-2 * self.number :]
        return len(last) == 2 * self.number and all(reply.status == 200 for reply in last)
