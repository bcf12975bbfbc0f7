"""What the tests of MySQL and of the drills share."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pymysql
import pytest
from msgspec import structs

from conf.current import settings
from tests.support.service import wait_until
from utils.dev.servers import MariaDB
from utils.errors import UnavailableError
from utils.mysql import connection as mysql_connection
from utils.mysql import login as mysql_login
from utils.mysql import pool as mysql_pool
from utils.mysql import session as mysql_session
from utils.mysql.pool import pool


def in_use() -> int:
    """Return how many connections of this process's pool are lent."""
    return pool().size - pool().slots.counter


def close_idle() -> None:
    """Close the pool's idle connections: the next statement makes a new one."""
    pool().pooled.close()


def connections(server: MariaDB, condition: str = "1") -> list[dict[str, Any]]:
    """Return the connections of the user `pyserver` at the server that fulfil an SQL condition."""
    return server.run(
        f"SELECT * FROM information_schema.processlist WHERE user = 'pyserver' AND {condition}"
    )


def kill_all(server: MariaDB) -> None:
    """Kill these connections, and return when they are gone: a KILL does not wait for that."""
    killed = {connection["ID"] for connection in connections(server)}
    for number in killed:
        with suppress(pymysql.err.OperationalError):  # it may have ended by itself
            server.run(f"KILL {number}")
    wait_until(lambda: killed.isdisjoint(row["ID"] for row in connections(server)))


def cents(server: MariaDB) -> list[int]:
    """Return what the accounts hold, in the order of their ids."""
    return [row["cents"] for row in server.run("SELECT cents FROM pyserver.accounts ORDER BY id")]


def numbers(count: int) -> str:
    """Return a table for a FROM, whose `n` are the numbers from 1 to this power of ten."""
    ten = " UNION ALL ".join(f"SELECT {digit} AS digit" for digit in range(10))
    places = range(len(str(count)) - 1)
    tables = ", ".join(f"({ten}) AS d{place}" for place in places)
    number = " + ".join(f"{10**place} * d{place}.digit" for place in places)
    return f"(SELECT 1 + {number} AS n FROM {tables}) AS numbers"


def round_trips(server: MariaDB, work: Callable[[], Any]) -> int:
    """Return how many round trips a piece of work takes, as the server counts them."""

    def questions() -> int:
        (row,) = server.run("SHOW GLOBAL STATUS LIKE 'Questions'")
        return int(row["Value"])

    counts = [questions(), questions()]
    work()
    return questions() - counts[1] - (counts[1] - counts[0])


def refused(call: Callable[..., Any], *arguments: Any) -> str:
    """Call, and return the message of the UnavailableError that has to come."""
    with pytest.raises(UnavailableError) as caught:
        call(*arguments)
    return str(caught.value)


def set_mysql(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    """Change settings of MySQL for the connections that a test makes from here on."""
    new = structs.replace(settings, mysql=structs.replace(settings.mysql, **changed))
    for module in (mysql_connection, mysql_login, mysql_pool, mysql_session):
        monkeypatch.setattr(module, "settings", new)
    close_idle()
