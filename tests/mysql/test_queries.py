"""rows, row, value, execute, execute_many: values in, values out, one round trip each."""

from decimal import Decimal

import pymysql
import pytest
from msgspec import Struct

from tests.support.mysql import cents, round_trips
from utils.dev.servers import MariaDB, MySQL
from utils.mysql import Result, StatementError, mysql
from utils.mysql.execute import execute
from utils.mysql.pool import pool


class Account(Struct):
    """A row of the table that the tests use."""

    id: int
    cents: int
    open: bool


def test_rows_are_dicts_or_instances(accounts: MariaDB) -> None:
    select = "SELECT * FROM accounts WHERE id = %s"
    assert mysql.row(select, 1) == {"id": 1, "cents": 100, "open": 1}
    assert mysql.row(select, 9) is None
    assert mysql.row(select, 1, into=Account) == Account(1, 100, True)
    assert mysql.row(select, 9, into=Account) is None
    assert mysql.rows("SELECT id FROM accounts ORDER BY id") == [{"id": 1}, {"id": 2}]
    assert [a.id for a in mysql.rows("SELECT * FROM accounts", into=Account)] == [1, 2]


def test_a_value_is_the_first_column_of_the_first_row(accounts: MariaDB) -> None:
    assert mysql.value("SELECT SUM(cents), 7 FROM accounts") == Decimal(200)
    assert mysql.value("SELECT cents FROM accounts WHERE id = %s", 9) is None


def test_a_write_returns_what_it_changed_and_the_id_it_made(accounts: MariaDB) -> None:
    insert = "INSERT INTO accounts (cents) VALUES (%s)"
    result = mysql.execute(insert, 5)
    assert (result.rowcount, result.lastrowid, list(result.rows)) == (1, 3, [])
    assert mysql.execute("UPDATE accounts SET cents = 7")[1:] == (3, 0)
    assert mysql.execute("UPDATE accounts SET cents = 7 WHERE id = 9").rowcount == 0
    assert mysql.execute_many(insert, [(1,), (2,)]) == 2
    assert mysql.execute_many(insert, []) == 0


def test_a_write_may_return_rows(accounts: MariaDB) -> None:
    if isinstance(accounts, MySQL):
        pytest.skip("MySQL has no RETURNING")
    result = mysql.execute("INSERT INTO accounts (cents) VALUES (1), (2) RETURNING id, cents")
    rows = [{"id": 3, "cents": 1}, {"id": 4, "cents": 2}]
    assert result == Result(rows, 2, 0)


def test_a_statement_that_is_too_large_is_not_sent(small_packets: None) -> None:
    with pool().connection() as connection:
        with pytest.raises(StatementError, match="1153"):
            execute(connection, "SELECT LENGTH(%s)", ["x" * 17_000_000])
        assert connection.open
        assert execute(connection, "SELECT 1 AS one").rows == [{"one": 1}]


def test_the_largest_statement_is_sent(small_packets: None) -> None:
    limit = mysql.value("SELECT @@max_allowed_packet")
    largest = limit - len("SELECT LENGTH('')") - 2
    assert mysql.value("SELECT LENGTH(%s)", "x" * largest) == largest
    with pytest.raises(StatementError, match="1153"):
        mysql.value("SELECT LENGTH(%s)", "x" * (largest + 1))


def test_a_statement_is_one_round_trip(accounts: MariaDB) -> None:
    def read() -> None:
        mysql.row("SELECT * FROM accounts WHERE id = %s", 1)

    def transfer() -> None:
        with mysql.transaction() as tx:
            tx.execute("UPDATE accounts SET cents = 0 WHERE id = 1")

    read()
    assert round_trips(accounts, read) == 1
    assert round_trips(accounts, transfer) == 3


def test_many_rows_are_written_whole_or_not_at_all(accounts: MariaDB) -> None:
    rows = [(i, "x" * 1000) for i in range(3, 3000)]
    mysql.execute("ALTER TABLE accounts ADD text TEXT")
    insert = "INSERT INTO accounts (id, cents, text) VALUES (%s, 0, %s)"
    with pytest.raises(pymysql.err.IntegrityError):
        mysql.execute_many(insert, [*rows, (1, "")])
    assert mysql.value("SELECT COUNT(*) FROM accounts") == 2
    assert mysql.execute_many(insert, rows) == len(rows)
    assert mysql.value("SELECT COUNT(*) FROM accounts") == 2 + len(rows)


def test_a_procedure_answers_and_fails_in_its_own_request(accounts: MariaDB) -> None:
    mysql.execute("DROP PROCEDURE IF EXISTS add_account")
    mysql.execute(
        "CREATE PROCEDURE add_account(number INT) BEGIN"
        " SELECT number; INSERT INTO accounts (id, cents) VALUES (number, 1); SELECT 1; END"
    )
    assert mysql.rows("CALL add_account(%s)", 7) == [{"number": 7}]
    assert cents(accounts) == [100, 100, 1]
    with pytest.raises(pymysql.err.IntegrityError):
        mysql.rows("CALL add_account(%s)", 7)
    assert mysql.value("SELECT 2") == 2
