"""Drills: callers whose deadlines are too short for anything cost those with patience nothing."""

from gevent.pool import Pool as Greenlets

from tests.example.orders import Clients, Reply, show
from tests.support.service import Service, wait_until
from utils.dev.servers import MariaDB

CHANGE = '{"item":"mate","quantity":1,"version":99}'


def status(server: MariaDB, name: str) -> int:
    return int(server.run(f"SHOW GLOBAL STATUS LIKE '{name}'")[0]["Value"])


def test_callers_in_haste_cost_others_neither_the_cache_nor_connections(
    service_with_orders: Service, mariadb: MariaDB
) -> None:
    service = service_with_orders
    service.env |= {"WORKERS": "1", "MYSQL_PORT": str(mariadb.port)}
    service.sh("start", check=True)
    calls = [("/orders/7", CHANGE, "PUT"), ("/orders/7", None, "GET"), ("/orders", None, "GET")]

    def hurry(number: int) -> int:
        haste = str(number % 10 + 1)
        return Reply(service, *calls[number % 3], X_Request_Timeout_Ms=haste).status

    Greenlets(10).map(hurry, range(30))
    with Clients(2, lambda: show(service)) as clients:
        wait_until(clients.are_well)
        before = status(mariadb, "Connections")
        answers = set(Greenlets(10).map(hurry, range(600)))
        made = status(mariadb, "Connections") - before
    assert answers <= {200, 409, 504}
    assert {reply.status for reply in clients.replies} == {200}
    assert made <= 10 + 1  # the pool, and the administrator who asks
    assert "Redis is down" not in service.log()
    show(service)
    loads = status(mariadb, "Com_select")
    Greenlets(10).map(lambda _: show(service), range(50))
    assert status(mariadb, "Com_select") == loads
