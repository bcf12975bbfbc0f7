"""The pool: bounded, fair, and nothing of one request reaches the next."""

import os

import gevent
import pytest

from conf.current import settings
from tests.support.mysql import (
    cents,
    close_idle,
    connections,
    in_use,
    kill_all,
    refused,
    set_mysql,
)
from tests.support.proxy import Proxy
from tests.support.service import wait_until
from utils.dev.servers import MariaDB, MySQL
from utils.mysql import mysql
from utils.mysql.connection import Connection
from utils.mysql.pool import pool


def test_a_greenlet_that_finds_no_free_connection_is_refused(
    accounts: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_mysql(monkeypatch, read_timeout=60)
    size = settings.mysql.pool_size
    busy = [gevent.spawn(refused, mysql.value, "SELECT SLEEP(50)") for _ in range(size)]
    wait_until(lambda: in_use() == size)
    waiters = [gevent.spawn(refused, mysql.value, "SELECT 1") for _ in range(12)]
    gevent.joinall(waiters, timeout=20, raise_error=True)
    assert [waiter.value for waiter in waiters] == ["MySQL is busy"] * 12
    wait_until(lambda: len(connections(accounts, "info LIKE 'SELECT SLEEP%'")) == size)
    assert len(connections(accounts)) == size
    kill_all(accounts)
    gevent.joinall(busy)


def test_a_greenlet_that_waits_is_not_overtaken(
    accounts: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_mysql(monkeypatch, pool_timeout=20)

    def insist() -> None:
        while True:
            mysql.value("SELECT SLEEP(0.01)")

    busy = [gevent.spawn(insist) for _ in range(settings.mysql.pool_size)]
    wait_until(lambda: in_use() == settings.mysql.pool_size)
    for _ in range(10):
        assert mysql.value("SELECT 1") == 1
    gevent.killall(busy)


def test_a_pool_belongs_to_its_process(accounts: MariaDB) -> None:
    mine = mysql.value("SELECT CONNECTION_ID()")
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writer, str(mysql.value("SELECT CONNECTION_ID()")).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert int(os.read(reader, 20)) != mine
    assert mysql.value("SELECT CONNECTION_ID()") == mine


def test_killed_connections_are_replaced_before_anyone_notices(
    accounts: MariaDB, mysql_proxy: Proxy
) -> None:
    gevent.joinall([gevent.spawn(mysql.value, "SELECT SLEEP(0.05)") for _ in range(4)])
    assert len(connections(accounts)) == 4
    kill_all(accounts)
    wait_until(lambda: not mysql_proxy.connections)
    for number in range(50):
        assert mysql.value("SELECT %s", number) == number


def test_a_connection_that_cannot_be_set_up_is_not_pooled(
    accounts: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Connection) -> None:
        self.query("SET SESSION no_such_variable = 1")

    monkeypatch.setattr(Connection, "set_up", fail)
    for _ in range(settings.mysql.pool_size + 1):
        assert refused(mysql.value, "SELECT 1") == "MySQL is not available"


@pytest.mark.parametrize("sql", ["START TRANSACTION", "SET autocommit = 0"])
def test_a_transaction_left_open_never_reaches_the_next_request(
    accounts: MariaDB, caplog: pytest.LogCaptureFixture, sql: str
) -> None:
    mysql.execute(sql)
    assert f"mysql.transaction(): {sql}" in caplog.text
    wait_until(lambda: in_use() == 0)
    mysql.execute("UPDATE accounts SET cents = 1")
    assert cents(accounts) == [1, 1]


def test_a_server_without_autocommit_loses_no_write(accounts: MariaDB) -> None:
    """init_connect changes a session after the greeting that PyMySQL believes."""
    accounts.run("SET GLOBAL init_connect = 'SET autocommit = 0'")
    try:
        close_idle()
        assert mysql.value("SELECT @@autocommit") == 1
        mysql.execute("UPDATE accounts SET cents = 1")
    finally:
        accounts.run("SET GLOBAL init_connect = ''")
    assert cents(accounts) == [1, 1]


def test_the_server_itself_limits_statements(accounts: MariaDB) -> None:
    seconds = "max_execution_time / 1000" if isinstance(accounts, MySQL) else "max_statement_time"
    assert mysql.value(f"SELECT @@{seconds}") == settings.mysql.read_timeout


@pytest.fixture
def blocked(locked: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """A statement that waits for a row: unlike SLEEP(), it does not end with its client."""
    set_mysql(monkeypatch, read_timeout=60)
    return "UPDATE accounts SET cents = 0"


@pytest.mark.parametrize("cut", [gevent.Timeout(0.1), gevent.GreenletExit()])
def test_a_statement_that_is_cut_is_ended_at_the_server_too(
    accounts: MariaDB, blocked: str, cut: BaseException
) -> None:
    greenlet = gevent.spawn(mysql.execute, blocked)
    wait_until(lambda: connections(accounts, "info LIKE 'UPDATE%'"))
    greenlet.kill(cut)
    wait_until(lambda: not connections(accounts, "info LIKE 'UPDATE%'"))
    wait_until(lambda: in_use() == 0)
    assert mysql.value("SELECT 1") == 1


def test_nothing_is_killed_at_another_server(accounts: MariaDB, blocked: str) -> None:
    mysql.value("SELECT 1")
    with pool().connection() as connection:
        connection.server_id = ("another behind the same address", 3306)
    greenlet = gevent.spawn(mysql.execute, blocked)
    wait_until(lambda: connections(accounts, "info LIKE 'UPDATE%'"))
    greenlet.kill(gevent.Timeout())
    wait_until(lambda: in_use() == 0)
    assert connections(accounts, "info LIKE 'UPDATE%'")
