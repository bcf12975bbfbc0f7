"""A drill: four workers, and a Redis that refuses something: nobody shows what is outdated."""

import json

from gevent.pool import Pool as Greenlets

from tests.example.orders import Reply, show
from tests.support.refusals import refusing
from tests.support.service import Service, wait_until
from utils.dev.servers import Redis

REFUSED = ["writes, READONLY", "writes, MISCONF", "writes, paused", "unlink"]


class Order:
    """Order 7 of a service, and the version that its last acknowledged change made."""

    def __init__(self, service: Service) -> None:
        self.service, self.version = service, 1

    def change(self) -> None:
        body = json.dumps({"item": "mate", "quantity": 1, "version": self.version})
        assert Reply(self.service, "/orders/7", body, "PUT").status == 200
        self.version += 1

    def read(self, when: str) -> None:
        """Read twenty times, by connections of their own that reach any worker."""
        replies = Greenlets(20).map(lambda _: show(self.service), range(20))
        shown = {reply.envelope["data"]["version"] for reply in replies}
        assert shown == {self.version}, when

    def read_until(self, when: str, workers: int) -> None:
        """Read until so many workers do without Redis."""

        def do_without() -> bool:
            self.read(when)
            log = self.service.log()
            opened = log.count("Redis refuses") + log.count("Redis is down")
            return opened - log.count("Redis is up again") == workers

        wait_until(do_without)


def test_whatever_redis_refuses_no_worker_shows_what_is_older_than_a_change(
    service_with_orders: Service, redis_server: Redis
) -> None:
    service, order = service_with_orders, Order(service_with_orders)
    service.env |= {"WORKERS": "4", "REDIS_TIMEOUT": "1"}
    service.sh("start", check=True)
    for what in REFUSED:
        order.read_until("before", 0)
        with refusing(redis_server, what):
            for _ in range(2):
                order.change()
                order.read(f"refused: {what}")
            order.read_until(f"refused: {what}", 4)
            order.change()
        order.read(f"allowed again: {what}")
        order.change()
        order.read_until(f"allowed again: {what}", 0)
