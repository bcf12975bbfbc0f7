"""Many rows: in constant memory, one after another; and no more of them than are asked for."""

import tracemalloc

import gevent
import pytest
from msgspec import Struct

from tests.support.mysql import cents, connections, in_use, numbers, set_mysql
from tests.support.service import wait_until
from tests.support.turns import other_turns
from utils.context import request_deadline
from utils.dev.servers import MariaDB, MySQL
from utils.errors import DeadlineError
from utils.mysql import StatementError, connection, mysql


class Number(Struct):
    n: int
    text: str = ""


WIDE = f"SELECT n, REPEAT('x', 1000) AS text FROM {numbers(100_000)}"


@pytest.fixture
def direct(accounts: MariaDB, monkeypatch: pytest.MonkeyPatch) -> MariaDB:
    """A server without the proxy, which is a greenlet that needs turns itself."""
    set_mysql(monkeypatch, port=accounts.port)
    return accounts


def connection_id() -> object:
    return mysql.value("SELECT CONNECTION_ID()")


def test_rows_are_yielded_one_by_one(direct: MariaDB) -> None:
    used = connection_id()
    select = "SELECT id AS n FROM accounts WHERE id > %s ORDER BY id"
    assert list(mysql.stream(select, 0)) == [{"n": 1}, {"n": 2}]
    assert list(mysql.stream(select, 1, into=Number)) == [Number(2)]
    assert list(mysql.stream(select, 9)) == []
    assert connection_id() == used


def test_a_stream_takes_constant_memory(direct: MariaDB) -> None:
    tracemalloc.start()
    total = sum(len(row["text"]) for row in mysql.stream(f"{WIDE} LIMIT 30000"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 30_000_000
    assert most < 3_000_000


def test_a_stream_may_be_larger_than_what_a_worker_can_hold(
    direct: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_ANSWER_BYTES", 100_000)
    assert sum(1 for _ in mysql.stream(f"{WIDE} LIMIT 1000")) == 1000


def test_a_loop_that_is_left_leaves_nothing_behind(direct: MariaDB) -> None:
    for row in mysql.stream(WIDE):
        assert row["text"] == "x" * 1000
        break
    with pytest.raises(ZeroDivisionError):
        for _ in mysql.stream(WIDE):
            raise ZeroDivisionError
    wait_until(lambda: in_use() == 0)
    wait_until(lambda: not connections(direct, "info LIKE '%REPEAT%'"))
    assert [mysql.value("SELECT %s", number) for number in range(20)] == list(range(20))


def test_a_stream_keeps_the_deadline(direct: MariaDB) -> None:
    with pytest.raises(DeadlineError), request_deadline(0.3):
        for _ in mysql.stream(f"SELECT 1 FROM {numbers(10_000_000)}"):
            pass
    wait_until(lambda: in_use() == 0)
    wait_until(lambda: not connections(direct, "info LIKE '%digit%'"))


def test_a_stream_that_fails_is_an_error_and_costs_no_connection(direct: MariaDB) -> None:
    used = connection_id()
    for sql in ("SELECT nothing", "SELECT %s, %s"):
        with pytest.raises(StatementError):
            list(mysql.stream(sql, 1))
    assert connection_id() == used


def test_a_stream_may_take_longer_than_other_statements(direct: MariaDB) -> None:
    """The tests' MYSQL_READ_TIMEOUT is a second."""
    assert len(list(mysql.stream(f"SELECT n, SLEEP(0.5) FROM {numbers(10)} LIMIT 3"))) == 3
    with pytest.raises(DeadlineError), request_deadline(0.2):
        list(mysql.stream("SELECT SLEEP(60)"))


def limit(server: MariaDB) -> str:
    mysql_s, mariadb_s = "@@max_execution_time / 1000", "@@max_statement_time"
    return f"SELECT {mysql_s if isinstance(server, MySQL) else mariadb_s}"


def test_a_statement_may_be_given_more_time(direct: MariaDB) -> None:
    assert mysql.within(5).value("SELECT SLEEP(1.5)") == 0
    assert mysql.within(5).value(limit(direct)) == 5
    assert mysql.value(limit(direct)) == 1
    with mysql.within(5).transaction() as tx:
        assert tx.value(limit(direct)) == 5
    with request_deadline(3):
        assert 0 < mysql.within(60).value(limit(direct)) <= 3.5
    with pytest.raises(DeadlineError), request_deadline(0.2):
        mysql.within(60).value("SELECT SLEEP(60)")
    assert mysql.value(limit(direct)) == 1


def test_a_statement_may_be_given_less_time(direct: MariaDB) -> None:
    slow = mysql.within(0.1)
    with pytest.raises(Exception, match="MySQL is not available"):
        slow.execute("UPDATE accounts SET cents = SLEEP(60)")
    wait_until(lambda: in_use() == 0)
    wait_until(lambda: not connections(direct, "info LIKE 'UPDATE%'"))


def test_many_rows_of_which_one_is_wanted_are_not_read(
    direct: MariaDB, caplog: pytest.LogCaptureFixture
) -> None:
    used = connection_id()
    assert mysql.value(f"SELECT n FROM {numbers(1000)}") is not None
    assert connection_id() == used
    assert caplog.text == ""
    row = mysql.row(WIDE, into=Number)
    assert row
    assert len(row.text) == 1000
    assert "only the first of many rows was wanted" in caplog.text
    assert connection_id() != used


def test_a_transaction_goes_on_after_rows_that_are_not_wanted(direct: MariaDB) -> None:
    with mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 7")
        assert tx.value(f"{WIDE} LIMIT 5000") is not None
    assert cents(direct) == [7, 7]


def test_a_write_is_done_whose_rows_are_not_wanted(direct: MariaDB) -> None:
    if isinstance(direct, MySQL):
        pytest.skip("MySQL has no RETURNING")
    insert = f"INSERT INTO accounts (cents) SELECT n FROM {numbers(10_000)} RETURNING id, REPEAT"
    assert mysql.row(f"{insert}('x', 1000)")
    assert mysql.value("SELECT COUNT(*) FROM accounts") == 10_002


@pytest.mark.parametrize("into", [None, Number])
def test_a_large_answer_leaves_others_their_turn(
    direct: MariaDB, monkeypatch: pytest.MonkeyPatch, into: type[Number] | None
) -> None:
    """It arrives faster than it is read, so that nothing would ever wait."""
    set_mysql(monkeypatch, port=direct.port, read_timeout=60)
    mysql.value("SELECT 1")
    sql = f"SELECT n FROM {numbers(100_000)}"
    with other_turns(0.0001) as turns:
        rows = mysql.rows(sql, into=into) if into else mysql.rows(sql)
    assert len(rows) == 100_000
    assert turns.count > (150 if into else 75)
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.02):
        mysql.rows(sql)
