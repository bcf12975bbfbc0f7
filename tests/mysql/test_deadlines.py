"""A caller in haste: what its deadline would cut goes on, and costs others nothing."""

import gevent
import pytest

from conf.current import settings
from tests.support.mysql import cents, close_idle, in_use, set_mysql
from tests.support.proxy import Proxy
from tests.support.service import wait_until
from utils.context import request_deadline
from utils.dev.servers import MariaDB
from utils.errors import DeadlineError, NotBegunError, UnavailableError
from utils.mysql import mysql

HASTE = 0.01  # seconds


@pytest.fixture
def slow(accounts: MariaDB, mysql_proxy: Proxy) -> Proxy:
    """A MySQL that takes its time, but not too much."""
    mysql.value("SELECT 1")
    mysql_proxy.delay = 2 * HASTE
    return mysql_proxy


def status(server: MariaDB, name: str) -> int:
    return int(server.run(f"SHOW GLOBAL STATUS LIKE '{name}'")[0]["Value"])


def test_callers_in_haste_cost_no_connections(accounts: MariaDB, slow: Proxy) -> None:
    def call() -> None:
        with pytest.raises(DeadlineError), request_deadline(HASTE):
            mysql.value("SELECT SLEEP(0)")
            gevent.sleep(60)

    before = status(accounts, "Connections")
    for _ in range(10):
        gevent.joinall([gevent.spawn(call) for _ in range(10)], raise_error=True)
    asked = 2  # the administrator's own
    assert status(accounts, "Connections") - before <= settings.mysql.pool_size + asked


def test_a_login_is_not_cut(accounts: MariaDB, slow: Proxy) -> None:
    """After a hundred (max_connect_errors) MySQL would refuse this host."""
    close_idle()
    before = status(accounts, "Aborted_connects")
    with pytest.raises(NotBegunError), request_deadline(HASTE):
        mysql.value("SELECT 1")
    assert len(slow.connections) == 2  # both sides of the proxy's one connection
    assert mysql.value("SELECT 1") == 1
    assert len(slow.connections) == 2
    assert status(accounts, "Aborted_connects") == before


def test_a_transaction_whose_time_is_up_before_its_commit_is_rolled_back(
    accounts: MariaDB, slow: Proxy
) -> None:
    number = mysql.value("SELECT CONNECTION_ID()")
    with pytest.raises(NotBegunError), request_deadline(5 * HASTE), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 0")
    assert cents(accounts) == [100, 100]
    assert mysql.value("SELECT CONNECTION_ID()") == number


def test_who_waits_for_a_connection_is_told_that_nothing_was_sent(
    accounts: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_mysql(monkeypatch, read_timeout=60)
    size = settings.mysql.pool_size
    busy = [gevent.spawn(mysql.value, "SELECT SLEEP(50)") for _ in range(size)]
    wait_until(lambda: in_use() == size)
    with pytest.raises(NotBegunError) as hasty, request_deadline(HASTE):
        mysql.value("SELECT 1")
    with pytest.raises(UnavailableError, match="MySQL is busy") as patient:
        mysql.value("SELECT 1")
    gevent.killall(busy)
    assert hasty.value.undone
    assert patient.value.undone


def test_a_connection_that_cannot_be_made_has_sent_nothing(
    accounts: MariaDB, mysql_proxy: Proxy
) -> None:
    mysql_proxy.close()
    with pytest.raises(UnavailableError, match="MySQL is not available") as raised:
        mysql.execute("UPDATE accounts SET cents = 0")
    assert raised.value.undone
    assert raised.value.__context__ is None
    mysql_proxy.open()
