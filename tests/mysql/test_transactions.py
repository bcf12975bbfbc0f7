"""A transaction is whole or nothing, whatever happens in it."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
import pymysql
import pytest

from tests.support.mysql import cents, connections, in_use, kill_all, refused, set_mysql
from tests.support.service import wait_until
from utils.dev.servers import MariaDB
from utils.errors import UnavailableError
from utils.mysql import Result, RetryableError, Transaction, mysql, queries
from utils.mysql.connection import Connection
from utils.mysql.execute import execute, send


def test_a_transaction_is_committed_as_a_whole(accounts: MariaDB) -> None:
    with mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = cents - 30 WHERE id = %s", 1)
        tx.execute("UPDATE accounts SET cents = cents + 30 WHERE id = %s", 2)
        assert cents(accounts) == [100, 100]
    assert cents(accounts) == [70, 130]


@pytest.mark.parametrize("fault", [ValueError, gevent.Timeout, gevent.GreenletExit])
def test_what_is_raised_inside_undoes_all(accounts: MariaDB, fault: type[BaseException]) -> None:
    with pytest.raises(fault), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 0")
        raise fault
    assert cents(accounts) == [100, 100]


def test_a_refused_statement_undoes_all(accounts: MariaDB) -> None:
    with pytest.raises(pymysql.err.IntegrityError), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 0")
        tx.execute("INSERT INTO accounts (id, cents) VALUES (1, 1)")
    assert cents(accounts) == [100, 100]


@pytest.mark.parametrize("fault", [None, ValueError, gevent.Timeout])
def test_a_transaction_that_is_over_takes_no_statement(
    accounts: MariaDB, fault: type[BaseException] | None
) -> None:
    with suppress(ValueError, gevent.Timeout), mysql.transaction() as tx:
        if fault:
            raise fault
    with pytest.raises(RuntimeError, match="the transaction is over"):
        tx.execute("UPDATE accounts SET cents = 0")
    assert cents(accounts) == [100, 100]


def test_a_transaction_whose_connection_dies_between_its_statements_does_nothing(
    accounts: MariaDB,
) -> None:
    with pytest.raises(UnavailableError), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = cents - 30 WHERE id = 1")
        kill_all(accounts)
        tx.execute("UPDATE accounts SET cents = cents + 30 WHERE id = 2")
    assert cents(accounts) == [100, 100]


def test_a_fault_inside_a_transaction_is_raised_also_if_the_connection_died(
    accounts: MariaDB,
) -> None:
    with pytest.raises(ZeroDivisionError), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 0")
        kill_all(accounts)
        raise ZeroDivisionError
    assert cents(accounts) == [100, 100]


def deadlock(work: Callable[[Transaction, int, int, threading.Barrier], None]) -> list[Any]:
    """Run two transactions that lock crosswise; return the loser's error, and None."""
    both = threading.Barrier(2)

    def run(first: int, second: int) -> UnavailableError | None:
        try:
            with mysql.transaction() as tx:
                work(tx, first, second, both)
        except UnavailableError as error:
            return error
        return None

    calls = [gevent.spawn(run, 1, 2), gevent.spawn(run, 2, 1)]
    gevent.joinall(calls, raise_error=True)
    return sorted((call.value for call in calls), key=lambda error: error is None)


def test_the_loser_of_a_deadlock_may_be_retried_and_the_winner_is_done(accounts: MariaDB) -> None:
    def swap(tx: Transaction, first: int, second: int, both: threading.Barrier) -> None:
        tx.execute("UPDATE accounts SET cents = cents + 1 WHERE id = %s", first)
        both.wait()
        tx.execute("UPDATE accounts SET cents = cents + 1 WHERE id = %s", second)

    loser, winner = deadlock(swap)
    assert isinstance(loser, RetryableError)
    assert str(loser) == "MySQL is not available"
    assert winner is None
    assert cents(accounts) == [101, 101]


def test_a_transaction_that_lost_a_deadlock_cannot_go_on(accounts: MariaDB) -> None:
    def swap(tx: Transaction, first: int, second: int, both: threading.Barrier) -> None:
        tx.execute("UPDATE accounts SET cents = cents + 1 WHERE id = %s", first)
        both.wait()
        with suppress(UnavailableError):
            tx.execute("UPDATE accounts SET cents = cents + 1 WHERE id = %s", second)
        tx.execute("INSERT INTO accounts (cents) VALUES (0)")

    loser, winner = deadlock(swap)
    assert str(loser) == "MySQL is not available"
    assert winner is None
    assert cents(accounts) == [101, 101, 0]


@pytest.fixture
def interrupted(accounts: MariaDB) -> str:
    """A statement that is half done, and then fails as if an operator had ended it."""
    accounts.run(
        "DROP PROCEDURE IF EXISTS pyserver.half",
        "CREATE PROCEDURE pyserver.half() BEGIN"
        " UPDATE accounts SET cents = 0 WHERE id = 1;"
        " SIGNAL SQLSTATE '70100' SET MYSQL_ERRNO = 1317; END",
    )
    return "CALL half()"


def test_a_procedure_may_be_retried_only_in_a_transaction(
    accounts: MariaDB, interrupted: str
) -> None:
    with pytest.raises(RetryableError), mysql.transaction() as tx:
        tx.execute(interrupted)
    assert cents(accounts) == [100, 100]
    with pytest.raises(UnavailableError) as caught:
        mysql.execute(interrupted)
    assert not isinstance(caught.value, RetryableError)
    assert cents(accounts) == [0, 100]


def test_a_commit_that_is_interrupted_is_not_called_retryable(
    accounts: MariaDB, interrupted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No server can be made to fail so in a COMMIT: the procedure's error stands for it."""

    def fail_to_commit(connection: Connection, sql: str, *_: Any, first: bool = False) -> Result:
        return send(connection, sql, interrupted.encode() if sql == "COMMIT" else sql.encode(), ())

    monkeypatch.setattr(queries, "execute", fail_to_commit)
    with pytest.raises(UnavailableError) as caught, mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 0")
    assert not isinstance(caught.value, RetryableError)
    assert cents(accounts) == [100, 100]


def test_greenlets_that_share_a_transaction_take_turns(accounts: MariaDB) -> None:
    with mysql.transaction() as tx:
        calls = [gevent.spawn(tx.value, "SELECT SLEEP(0.02) + %s", n) for n in range(5)]
        gevent.joinall(calls, raise_error=True)
        late = gevent.spawn(tx.value, "SELECT 5")
    assert [call.value for call in calls] == list(range(5))
    with pytest.raises(RuntimeError):
        late.get()


def test_a_transaction_is_cut_while_another_greenlet_uses_it(
    accounts: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_mysql(monkeypatch, read_timeout=60)
    cut = gevent.Timeout()
    with pytest.raises(gevent.Timeout), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 0")
        call = gevent.spawn(refused, tx.value, "SELECT SLEEP(50)")
        wait_until(lambda: connections(accounts, "info LIKE 'SELECT SLEEP%'"))
        raise cut
    assert call.get(timeout=20) == "MySQL is not available"
    wait_until(lambda: in_use() == 0)
    wait_until(lambda: not connections(accounts, "info LIKE 'SELECT SLEEP%'"))
    assert cents(accounts) == [100, 100]


def test_a_transaction_that_somebody_else_ended_takes_no_statement(accounts: MariaDB) -> None:
    with pytest.raises(RuntimeError, match="ended the transaction"), mysql.transaction() as tx:
        assert tx.connection
        execute(tx.connection, "COMMIT")
        tx.execute("SELECT 1")


def test_an_isolation_level_is_that_of_one_transaction(accounts: MariaDB) -> None:
    def seen(**options: Any) -> list[int]:
        found = []
        with mysql.transaction(**options) as tx:
            found.append(tx.value("SELECT SUM(cents) FROM accounts"))
            accounts.run("UPDATE pyserver.accounts SET cents = cents + 1")
            found.append(tx.value("SELECT SUM(cents) FROM accounts"))
        return found

    assert seen() == [200, 200]
    assert seen(isolation="READ COMMITTED") == [202, 204]
    assert seen(isolation="READ COMMITTED", read_only=True) == [204, 206]
    assert seen(read_only=True) == [206, 206]
    with mysql.transaction(isolation="SERIALIZABLE") as tx:
        tx.value("SELECT SUM(cents) FROM accounts")
        levels = "SELECT trx_isolation_level AS level FROM information_schema.innodb_trx"
        wait_until(lambda: accounts.run(levels) == [{"level": "SERIALIZABLE"}])


def test_a_transaction_that_only_reads_writes_nothing(accounts: MariaDB) -> None:
    with pytest.raises(RuntimeError, match="only reads"), mysql.transaction(read_only=True) as tx:
        tx.execute("UPDATE accounts SET cents = 0")
    with pytest.raises(UnavailableError), mysql.transaction(read_only=True) as tx:
        tx.execute("/* hidden */ UPDATE accounts SET cents = 0")
    mysql.execute("UPDATE accounts SET cents = 1")
    assert cents(accounts) == [1, 1]


def test_an_isolation_level_that_is_none_is_refused(accounts: MariaDB) -> None:
    level: Any = "SERIALIZABLE; DROP TABLE accounts"
    with pytest.raises(ValueError, match="READ COMMITTED"), mysql.transaction(isolation=level):
        pass
