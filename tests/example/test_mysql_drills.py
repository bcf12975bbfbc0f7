"""Drills: what the service promises while its MySQL fails."""

import statistics
import time
from collections import Counter
from collections.abc import Callable

import pymysql
from gevent.pool import Pool as Greenlets

from tests.example.orders import SOON, Clients, Reply, create, read
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
