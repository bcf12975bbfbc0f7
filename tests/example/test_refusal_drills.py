"""A drill: four workers, and a Redis that refuses something: nobody shows what is outdated."""

import json
import re

from gevent.pool import Pool as Greenlets

from tests.example.orders import Reply, show
from tests.support.refusals import refusing
from tests.support.service import Service, wait_until
from utils.dev.servers import Redis

REFUSED = ["writes, READONLY", "writes, MISCONF", "writes, paused", "unlink", "set", "the keys"]


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

    def read_until(self, when: str, words: str, times: int) -> None:
        """Read until the log has these words so often."""

        def said() -> bool:
            self.read(when)
            return len(re.findall(words, self.service.log())) == times

        wait_until(said)


def test_whatever_redis_refuses_no_worker_shows_what_is_older_than_a_change(
    service_with_orders: Service, redis_server: Redis
) -> None:
    service, order = service_with_orders, Order(service_with_orders)
    service.env["WORKERS"] = "4"
    service.sh("start", check=True)
    for number, what in enumerate(REFUSED, 1):
        order.read("before")
        with refusing(redis_server, what):
            for _ in range(2):
                order.change()
                order.read(f"refused: {what}")
            order.read_until(f"refused: {what}", "Redis refuses|Redis is down", 4 * number)
            order.change()
        order.read(f"allowed again: {what}")
        order.change()
        order.read_until(f"allowed again: {what}", "Redis is up again", 4 * number)
