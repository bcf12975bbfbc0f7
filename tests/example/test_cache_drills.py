"""Drills: what the service promises of its cache, while Redis fails or everybody comes at once."""

import json
import signal
from collections import Counter
from pathlib import Path

from gevent.pool import Pool as Greenlets

from tests.example.orders import SOON, Reply, show
from tests.support.service import Service, wait_until
from utils.dev.servers import MariaDB, Redis


def test_four_workers_load_a_cold_key_once_and_show_nothing_older_than_a_change(
    service_with_orders: Service,
) -> None:
    service = service_with_orders
    service.env |= {"WORKERS": "4", "LOG_LEVEL": "DEBUG", "REDIS_TIMEOUT": str(SOON)}
    slow = "SLEEP(0.3 * (order_id = 7))"
    service.edit("api.py", '"SELECT * FROM orders WHERE', f'"SELECT *, {slow} FROM orders WHERE')
    service.sh("start", check=True)
    replies = Greenlets(200).map(lambda _: show(service), range(200))
    assert Counter(reply.status for reply in replies) == {200: 200}
    assert service.log().count("SLEEP") == 1
    older = []

    def change_and_read(order_id: int) -> None:
        for version in range(1, 30):
            body = json.dumps({"item": "mate", "quantity": 1, "version": version})
            assert Reply(service, f"/orders/{order_id}", body, "PUT").status == 200
            replies = Greenlets(4).map(
                lambda _: Reply(service, f"/orders/{order_id}", None, "GET"), range(4)
            )
            shown = {reply.envelope["data"]["version"] for reply in replies}
            if shown != {version + 1}:
                older.append((version + 1, shown))

    Greenlets(5).map(change_and_read, range(1, 6))
    assert older == []


TIMEOUT = 2.0  # far more than what does without Redis needs


def selects(server: MariaDB) -> int:
    """Return how many SELECTs a server has seen."""
    return int(server.run("SHOW GLOBAL STATUS LIKE 'Com_select'")[0]["Value"])


def test_redis_stopped_paused_and_back(
    service_with_orders: Service, tmp_path: Path, mariadb: MariaDB
) -> None:
    service, server = service_with_orders, Redis(tmp_path)
    server.start()
    service.env.update(server.env(), WORKERS="1", REDIS_TIMEOUT=str(TIMEOUT))
    service.sh("start", check=True)

    def shown_in() -> float:
        reply = show(service)
        assert reply.status == 200
        return reply.seconds

    def is_cached() -> bool:
        before = selects(mariadb)
        shown_in()
        return selects(mariadb) == before

    shown_in()
    assert is_cached()
    server.stop()
    assert max(shown_in() for _ in range(50)) < TIMEOUT
    server.start()
    wait_until(is_cached)
    server.send(signal.SIGSTOP)
    assert shown_in() >= TIMEOUT
    assert max(shown_in() for _ in range(50)) < TIMEOUT
    server.send(signal.SIGCONT)
    wait_until(is_cached)
    server.stop()
