"""A running service with orders, behind a proxy to MariaDB."""

from collections.abc import Callable, Iterator

import pytest
import redis

from tests.example.orders import CREATE
from tests.support.mysql import numbers
from tests.support.proxy import Proxy
from tests.support.service import Service
from utils.dev.servers import MariaDB, Redis, free_port


@pytest.fixture
def proxy(mariadb: MariaDB) -> Iterator[Proxy]:
    """What stands between the service and MariaDB."""
    proxy = Proxy(free_port(), mariadb.port)
    yield proxy
    proxy.close()


@pytest.fixture
def service_with_orders(
    make_service: Callable[..., Service], mariadb: MariaDB, redis_server: Redis, proxy: Proxy
) -> Service:
    """A service, not started, whose table has ten orders and whose cache is empty."""
    insert = f"INSERT INTO orders (item, quantity) SELECT 'tea', 1 FROM {numbers(10)}"
    mariadb.run("USE pyserver", "DROP TABLE IF EXISTS orders", CREATE, insert)
    with redis.Redis(port=redis_server.port, password=redis_server.password) as client:
        client.flushdb()
    env = {
        **mariadb.env(),
        **redis_server.env(),
        "MYSQL_HOST": "127.0.0.1",
        "MYSQL_PORT": proxy.port,
        "MYSQL_POOL_SIZE": 10,
        "MYSQL_POOL_TIMEOUT": 0.4,
        "MYSQL_CONNECT_TIMEOUT": 0.5,
        "MYSQL_READ_TIMEOUT": 1,
    }
    return make_service(**env)
