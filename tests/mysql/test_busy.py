"""What MySQL could not do now is told apart from what it will never do, and may be done again."""

import threading
from typing import Any

import gevent
import pytest
from pymysql.err import OperationalError

from tests.support.mysql import cents
from tests.support.service import wait_until
from utils.context import request_deadline, spared, time_left
from utils.dev.servers import MariaDB
from utils.errors import DeadlineError, UnavailableError
from utils.mysql import DuplicateKeyError, RetryableError, StatementError, mysql
from utils.mysql.execute import translate
from utils.mysql.pool import pool

INSERT = "INSERT INTO traps (id) VALUES (%s)"


@pytest.fixture
def error(accounts: MariaDB, request: pytest.FixtureRequest) -> int:
    """A number: MySQL answers INSERT with the error that has it."""
    accounts.run(
        "DROP TABLE IF EXISTS pyserver.traps",
        "CREATE TABLE pyserver.traps (id INT)",
        "CREATE TRIGGER pyserver.trap BEFORE INSERT ON pyserver.traps FOR EACH ROW"
        f" SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {request.param}",
    )
    return int(request.param)


@pytest.mark.parametrize(
    "error", [1020, 1205, 1213, 1317, 1412, 1637, 1969, 3024, 3058, 3101, 3572], indirect=True
)
def test_what_is_undone_may_be_tried_again(accounts: MariaDB, error: int) -> None:
    with pytest.raises(RetryableError) as caught:
        mysql.execute(INSERT, 4711)
    assert (caught.value.err_code, caught.value.status) == (-5, 503)
    assert caught.value.headers == {"Retry-After": "1"}
    with pytest.raises(RetryableError), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 0")
        with pytest.raises(RetryableError):
            tx.execute(INSERT, 4711)
        raise caught.value
    assert cents(accounts) == [100, 100]


@pytest.mark.parametrize(
    ("error", "goes_on"),
    [
        *[(code, False) for code in (1015, 1047, 1135, 1158, 1161, 1206, 1226, 1290, 1792, 1836)],
        *[(code, False) for code in (3032, 3169)],
        *[(code, True) for code in (1021, 1037, 1038, 1041, 1114)],
    ],
    indirect=["error"],
)
def test_a_server_that_cannot_is_unavailable(
    accounts: MariaDB, error: int, goes_on: bool, caplog: pytest.LogCaptureFixture
) -> None:
    used = mysql.value("SELECT CONNECTION_ID()")
    with pytest.raises(UnavailableError) as caught:
        mysql.execute(INSERT, 4711)
    assert not isinstance(caught.value, RetryableError)
    assert (caught.value.err_code, caught.value.status) == (-5, 503)
    assert (mysql.value("SELECT CONNECTION_ID()") == used) == goes_on
    assert str(error) in caplog.text
    assert "4711" not in caplog.text


@pytest.mark.parametrize("error", [1644, 1146, 1452, 3819], indirect=True)
def test_a_mistake_is_neither(accounts: MariaDB, error: int) -> None:
    with pytest.raises(StatementError) as caught:
        mysql.execute(INSERT, 4711)
    assert caught.value.code == error


@pytest.mark.parametrize(
    ("code", "undone"), [(1213, True), (3101, True), (1205, False), (1317, False)]
)
def test_a_commit_is_undone_if_the_server_says_so(
    accounts: MariaDB, code: int, undone: bool
) -> None:
    with pool().connection() as connection:
        error = translate(connection, "COMMIT", OperationalError(code, "message"))
    assert isinstance(error, UnavailableError)
    assert isinstance(error, RetryableError) == undone


def test_a_lock_that_is_not_waited_for_is_busy(locked: None) -> None:
    with pytest.raises(RetryableError), mysql.transaction() as tx:
        tx.rows("SELECT * FROM accounts FOR UPDATE NOWAIT")


@pytest.mark.parametrize("error", [1213], indirect=True)
@pytest.mark.parametrize("before", ["/* route=orders */ ", "-- why\n"])
def test_a_comment_in_front_does_not_hide_what_is_undone(
    accounts: MariaDB, error: int, before: str
) -> None:
    with pytest.raises(RetryableError):
        mysql.execute(before + INSERT, 1)


def test_a_table_that_changed_meanwhile_is_busy(accounts: MariaDB) -> None:
    accounts.run("CREATE TABLE IF NOT EXISTS pyserver.other (id INT)")
    with pytest.raises(RetryableError), mysql.transaction() as tx:
        tx.rows("SELECT * FROM other")
        accounts.run("ALTER TABLE pyserver.accounts ADD name TEXT, ADD INDEX (cents)")
        tx.rows("SELECT * FROM accounts")


def test_the_loser_of_a_deadlock_is_run_again(accounts: MariaDB) -> None:
    both, runs = threading.Barrier(2), []

    @mysql.retrying(3)
    def swap(first: int, *, second: int) -> str:
        """Lock both accounts."""
        runs.append(first)
        with mysql.transaction() as tx:
            tx.execute("UPDATE accounts SET cents = cents + 1 WHERE id = %s", first)
            if len(runs) <= 2:
                both.wait()
            tx.execute("UPDATE accounts SET cents = cents + 1 WHERE id = %s", second)
        return "done"

    calls = [gevent.spawn(swap, 1, second=2), gevent.spawn(swap, 2, second=1)]
    gevent.joinall(calls, raise_error=True)
    assert [call.value for call in calls] == ["done", "done"]
    assert sorted(runs) in ([1, 1, 2], [1, 2, 2])
    assert cents(accounts) == [102, 102]
    assert swap.__doc__ == "Lock both accounts."


@pytest.mark.parametrize(
    ("error", "count"),
    [
        (RetryableError, 3),
        (UnavailableError, 1),
        (StatementError, 1),
        (DuplicateKeyError, 1),
        (gevent.Timeout, 1),
    ],
)
def test_nothing_else_is_run_again(error: Any, count: int) -> None:
    runs = []

    @mysql.retrying(3)
    def work() -> None:
        runs.append(1)
        raise error

    with pytest.raises(error):
        work()
    assert len(runs) == count


def test_no_attempt_is_begun_after_the_deadline() -> None:
    runs = []

    @mysql.retrying(3)
    def work() -> None:
        runs.append(1)
        with spared(60):  # as in a statement
            wait_until(lambda: time_left(60) <= 0)
        raise RetryableError

    with pytest.raises(DeadlineError), request_deadline(0.01):
        work()
    assert len(runs) == 1


def test_at_least_one_attempt_is_needed() -> None:
    with pytest.raises(ValueError, match="0 attempts"):
        mysql.retrying(0)
