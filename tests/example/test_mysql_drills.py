"""Drills: what the service promises while its MySQL fails."""

import statistics
import time
from collections import Counter
from collections.abc import Callable

import gevent
import pymysql
import pytest
from gevent.pool import Pool as Greenlets

from tests.example.orders import SOON, Clients, Reply, create, read, show
from tests.support.mysql import connections, kill_all
from tests.support.proxy import Proxy
from tests.support.service import Service, wait_until
from utils.dev.servers import MariaDB


def many(number: int, call: Callable[[Service], Reply], service: Service) -> Counter[int]:
    """Call so often, by twenty at a time, and return how often there was which status."""
    replies = Greenlets(20).map(lambda _: call(service), range(number))
    return Counter(reply.status for reply in replies)


def count(server: MariaDB) -> int:
    return int(server.run("SELECT COUNT(*) AS n FROM pyserver.orders")[0]["n"])


def test_after_a_kill_of_every_connection_no_read_fails_and_no_write_doubles(
    service_with_orders: Service, mariadb: MariaDB
) -> None:
    service = service_with_orders
    service.env |= {"MYSQL_PORT": str(mariadb.port), "MYSQL_POOL_TIMEOUT": str(SOON)}
    service.sh("start", check=True)
    many(40, read, service)
    many(40, create, service)
    before = count(mariadb)
    assert len(connections(mariadb)) > 1
    kill_all(mariadb)
    assert many(100, read, service) == {200: 100}
    kill_all(mariadb)
    assert many(100, create, service) == {201: 100}
    assert count(mariadb) == before + 100


def test_mysql_stopped_and_started_again(service_with_orders: Service, mariadb: MariaDB) -> None:
    service = service_with_orders
    service.sh("start", check=True)
    workers = service.workers()
    with Clients(20, lambda: read(service)) as clients:
        wait_until(clients.are_well)
        mariadb.stop()
        stopped = time.monotonic()
        wait_until(lambda: len(clients.since(stopped)) > 100)
        mariadb.start()
        wait_until(clients.are_well)
    assert {reply.err_code for reply in clients.replies} == {0, -5}
    assert max(reply.seconds for reply in clients.replies) < SOON
    assert service.workers() == workers


def test_a_mysql_that_hangs_delays_nobody_who_does_not_need_it(
    service_with_orders: Service, proxy: Proxy
) -> None:
    service = service_with_orders
    service.env["MYSQL_READ_TIMEOUT"] = str(SOON - 2)
    service.sh("start", check=True)
    with Clients(50, lambda: read(service)) as clients:
        wait_until(clients.are_well)
        proxy.hang()
        hung = time.monotonic()
        wait_until(lambda: any(reply.err_code for reply in clients.since(hung)))
        others = [Reply(service) for _ in range(100)]
        proxy.go_on()
        wait_until(clients.are_well)
    assert {reply.status for reply in others} == {200}
    assert statistics.quantiles((reply.seconds for reply in others), n=100)[98] < SOON - 2
    assert {reply.err_code for reply in clients.replies} == {0, -5}
    assert max(reply.seconds for reply in clients.replies) < SOON + 2


@pytest.mark.parametrize("released", ["at once", "later"])
def test_an_update_that_waits_for_a_lock_in_a_partition(
    service_with_orders: Service, mariadb: MariaDB, proxy: Proxy, released: str
) -> None:
    """The table, the cache and the answers agree afterwards, whether it was done or not."""
    service = service_with_orders
    service.env["WORKERS"] = "1"
    service.sh("start", check=True)
    assert show(service).envelope["data"]["version"] == 1
    change = '{"item":"mate","quantity":1,"version":1}'
    socket, user = str(mariadb.socket), mariadb.user
    with pymysql.connect(unix_socket=socket, user=user, database="pyserver") as other:
        other.cursor().execute("SELECT * FROM orders WHERE order_id = 7 FOR UPDATE")
        put = gevent.spawn(Reply, service, "/orders/7", change, "PUT")
        wait_until(lambda: connections(mariadb, "info LIKE 'UPDATE%'"))
        proxy.hang()
        if released == "later":
            assert put.get().status == 503
            wait_until(lambda: not connections(mariadb, "info LIKE 'UPDATE%'"))
    assert put.get().status == 503
    proxy.go_on()
    version = 2 if released == "at once" else 1
    assert version_of(mariadb) == version
    wait_until(lambda: show(service).status == 200)
    shown = [show(service).envelope["data"]["version"] for _ in range(200)]
    assert set(shown) == {version_of(mariadb)} == {version}


def version_of(server: MariaDB) -> int:
    (row,) = server.run("SELECT version FROM pyserver.orders WHERE order_id = 7")
    return int(row["version"])


def test_a_deadline_is_kept_and_leaves_no_query_behind(
    service_with_orders: Service, mariadb: MariaDB
) -> None:
    service, lock_seconds = service_with_orders, 4 * SOON
    service.env["MYSQL_READ_TIMEOUT"] = str(lock_seconds)
    # Not SLEEP(): all of them share a mutex in the server, and a KILL of many takes seconds.
    service.edit(
        "api.py",
        '"SELECT * FROM orders WHERE order_id >',
        f"\"SELECT *, GET_LOCK('busy', {lock_seconds}) AS s FROM orders WHERE order_id >",
    )
    service.sh("start", check=True)
    with pymysql.connect(unix_socket=str(mariadb.socket), user=mariadb.user) as connection:
        connection.query("SELECT GET_LOCK('busy', 0)")
        replies = Greenlets(10).map(
            lambda _: Reply(service, "/orders", None, "GET", X_Request_Timeout_Ms="300"), range(30)
        )
        wait_until(lambda: not connections(mariadb, "info LIKE '%GET_LOCK%'"), SOON)
    assert {(reply.status, reply.err_code) for reply in replies} == {(504, -6)}
    assert statistics.median(reply.seconds for reply in replies) < SOON
