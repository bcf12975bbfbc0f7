"""The example: orders over MySQL and Redis."""

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from werkzeug.test import Client, TestResponse

from api import load_order
from tests.example.orders import CREATE
from tests.support.mysql import close_idle
from tests.support.proxy import Proxy
from tests.support.service import wait_until
from utils.cache.breaker import breaker
from utils.cache.redis import client
from utils.dev.servers import MariaDB
from utils.mysql import mysql


@pytest.fixture(autouse=True)
def orders(mariadb: MariaDB, mysql_proxy: Proxy, redis_proxy: Proxy) -> Iterator[None]:
    """An empty table and an empty cache."""
    mariadb.run("DROP TABLE IF EXISTS pyserver.orders", "USE pyserver", CREATE)
    close_idle()
    client().connection_pool.disconnect()
    client().flushdb()
    yield
    wait_until(lambda: not breaker().open)


def answer(response: TestResponse, status: int = 200) -> Any:
    assert response.status_code == status, response.data
    assert response.json
    return response.json["data"] if status < 300 else response.json["err_msg"]


def create(client: Client, **fields: Any) -> Any:
    return answer(client.post("/orders", json={"item": "tea", **fields}), 201)


def test_an_order_is_created_shown_changed_and_deleted(client: Client) -> None:
    response = client.post("/orders", json={"item": "tea", "quantity": 2})
    order = answer(response, 201)
    assert order == {"order_id": 1, "item": "tea", "quantity": 2, "version": 1}
    assert response.headers["Location"] == "/orders/1"
    assert answer(client.get("/orders/1")) == order
    changed = answer(client.put("/orders/1", json={"item": "mate", "quantity": 3, "version": 1}))
    assert changed == {"order_id": 1, "item": "mate", "quantity": 3, "version": 2}
    assert answer(client.get("/orders/1")) == changed
    assert answer(client.delete("/orders/1")) is None
    assert answer(client.get("/orders/1"), 404) == "no order 1"
    assert answer(client.delete("/orders/1"), 404) == "no order 1"
    assert (
        answer(client.put("/orders/1", json={"item": "x", "quantity": 1, "version": 2}), 404)
        == "no order 1"
    )


def test_a_change_of_an_outdated_version_is_refused(client: Client) -> None:
    create(client)
    change = {"item": "mate", "quantity": 1, "version": 1}
    calls = [gevent.spawn(client.put, "/orders/1", json=change) for _ in range(4)]
    gevent.joinall(calls)
    assert sorted(call.get().status_code for call in calls) == [200, 409, 409, 409]
    refused = client.put("/orders/1", json=change)
    assert answer(refused, 409) == "order 1 is at version 2"
    assert refused.json
    assert refused.json["err_code"] == 409


def test_orders_are_listed_by_cursor(client: Client) -> None:
    for number in range(5):
        create(client, item=f"tea {number}")
    seen, after = [], 0
    while after is not None:
        page = answer(client.get(f"/orders?limit=2&after={after}"))
        assert len(page["orders"]) <= 2
        seen += [order["item"] for order in page["orders"]]
        after = page["after"]
    assert seen == [f"tea {number}" for number in range(5)]
    assert answer(client.get("/orders"))["after"] is None


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("POST", "/orders", {}, "item: missing"),
        ("POST", "/orders", {"item": ""}, "item: expected"),
        ("POST", "/orders", {"item": "x" * 101}, "item: expected"),
        ("POST", "/orders", {"item": "x", "quantity": 0}, "quantity: expected"),
        ("GET", "/orders?limit=0", None, "limit: expected"),
        ("GET", "/orders?limit=101", None, "limit: expected"),
        ("GET", "/orders?after=x", None, "after: expected"),
        ("GET", "/orders/0", None, "order_id: expected"),
        ("GET", "/orders/99999999999999999999", None, "order_id: "),
        ("PUT", "/orders/1", {"item": "x", "quantity": 1}, "version: missing"),
    ],
)
def test_unusable_requests_are_refused(
    client: Client, method: str, path: str, body: Any, reason: str
) -> None:
    response = client.open(path, method=method, json=body) if body is not None else client.get(path)
    assert answer(response, 400).startswith(reason)


def test_an_order_is_read_from_the_cache(client: Client) -> None:
    create(client)
    first = answer(client.get("/orders/1"))
    mysql.execute("DELETE FROM orders")
    assert answer(client.get("/orders/1")) == first
    load_order.invalidate(1)
    answer(client.get("/orders/1"), 404)


def test_an_order_is_found_that_was_asked_for_before_it_existed(client: Client) -> None:
    answer(client.get("/orders/1"), 404)
    create(client)
    answer(client.get("/orders/1"))


def test_without_mysql_orders_are_refused_and_test_is_answered(
    client: Client, mysql_proxy: Proxy
) -> None:
    create(client)
    mysql_proxy.close()
    response = client.get("/orders/1")
    assert response.json
    assert (response.json["err_code"], response.headers["Retry-After"]) == (-5, "1")
    assert client.post("/test", data='{"order_id":1}').status_code == 200
    mysql_proxy.open()
    wait_until(lambda: client.get("/orders/1").status_code == 200)
