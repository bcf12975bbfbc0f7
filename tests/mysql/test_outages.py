"""MySQL hangs, dies, refuses or is something else: requests are refused in time, writes once."""

import socket
import time

import gevent
import pytest
from gevent.server import StreamServer

from conf.current import settings
from tests.support.mysql import cents, connections, in_use, refused, set_mysql
from tests.support.proxy import Proxy
from tests.support.service import wait_until
from utils.dev.servers import MariaDB
from utils.mysql import mysql


def test_a_write_that_times_out_is_not_sent_again(accounts: MariaDB, locked: None) -> None:
    assert refused(mysql.execute, "INSERT INTO accounts (cents) SELECT 1 FROM accounts FOR UPDATE")
    wait_until(lambda: not connections(accounts, "info LIKE 'INSERT%'"))
    assert len(cents(accounts)) == 2


def test_a_half_sent_statement_never_goes_back_to_the_pool(
    accounts: MariaDB, mysql_proxy: Proxy
) -> None:
    mysql.value("SELECT 1")
    mysql_proxy.hang()
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.2):
        mysql.value("SELECT LENGTH(%s)", "x" * 10_000_000)
    mysql_proxy.go_on()
    wait_until(lambda: in_use() == 0)
    assert mysql.value("SELECT 2") == 2


def test_a_server_that_became_read_only_is_left(accounts: MariaDB) -> None:
    first = mysql.value("SELECT CONNECTION_ID()")
    accounts.run("SET GLOBAL read_only = 1")
    try:
        assert refused(mysql.execute, "UPDATE accounts SET cents = 0") == "MySQL is not available"
    finally:
        accounts.run("SET GLOBAL read_only = 0")
    assert mysql.value("SELECT CONNECTION_ID()") != first


def test_a_hung_server_is_waited_for_in_parallel(
    accounts: MariaDB, mysql_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_mysql(monkeypatch, connect_timeout=20)
    mysql_proxy.hang()
    calls = [gevent.spawn(mysql.value, "SELECT 1") for _ in range(4)]
    wait_until(lambda: len(mysql_proxy.connections) == 2 * len(calls))
    mysql_proxy.go_on()
    gevent.joinall(calls, raise_error=True)
    assert [call.value for call in calls] == [1] * 4


def test_a_hung_server_is_waited_for_no_longer_than_the_setting_says(
    accounts: MariaDB, mysql_proxy: Proxy
) -> None:
    mysql_proxy.hang()
    assert refused(mysql.value, "SELECT 1") == "MySQL is not available"


def test_a_host_of_many_addresses_that_hang_is_waited_for_once(
    accounts: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", full.getsockname())] * 40
        monkeypatch.setattr(gevent.get_hub().resolver, "getaddrinfo", lambda *_: found)
        started = time.monotonic()
        assert refused(mysql.value, "SELECT 1") == "MySQL is not available"
        seconds = time.monotonic() - started
        for sock in waiting:
            sock.close()
    assert seconds < 20 * settings.mysql.connect_timeout


def test_what_speaks_another_protocol_is_not_available(
    accounts: MariaDB, mysql_proxy: Proxy
) -> None:
    mysql_proxy.close()
    address = ("127.0.0.1", mysql_proxy.port)
    other = StreamServer(address, lambda sock, _: sock.send(b"\x05\0\0\0HTTP?"))
    other.start()
    assert refused(mysql.value, "SELECT 1") == "MySQL is not available"
    other.stop()
    mysql_proxy.open()
    assert mysql.value("SELECT 1") == 1
