"""Parameters: in their order or by name, lists after IN, many rows; mistakes cost no connection."""

from typing import Any

import pytest

from tests.support.mysql import cents
from utils.dev.servers import MariaDB
from utils.mysql import StatementError, mysql, parameters
from utils.mysql.values import quote

INSERT = "INSERT INTO accounts (id, cents) VALUES (%s, %s)"
SELECT = "SELECT id FROM accounts WHERE"


def test_values_are_parameters_and_no_sql(accounts: MariaDB) -> None:
    text = "'; DROP TABLE accounts; -- 😀"
    assert mysql.value("SELECT %s", text) == text
    assert mysql.value("SELECT '100%%' = %s", "100%") == 1
    assert mysql.value("SELECT CONCAT('%%', %s, '%%s', %s)", "%s", "%%") == "%%s%s%%"
    assert mysql.value("SELECT '100%'") == "100%"


def test_parameters_may_have_names(accounts: MariaDB) -> None:
    row = {"id": 1, "cents": 100, "more": "%s"}
    where = f"{SELECT} id = %(id)s AND cents = %(cents)s AND id IN %(ids)s"
    assert mysql.value(where, {**row, "ids": [1, 2]}) == 1
    assert mysql.value("SELECT CONCAT(%(more)s, '%%', %(more)s)", row) == "%s%%s"
    insert = "INSERT INTO accounts (id, cents) VALUES (%(id)s, %(cents)s)"
    assert mysql.execute_many(insert, [{"id": n, "cents": n} for n in (5, 6)]) == 2
    update = "UPDATE accounts SET cents = %(cents)s WHERE id = %(id)s"
    assert mysql.execute_many(update, [{"id": 5, "cents": 7}, {"id": 9, "cents": 7}]) == 1
    assert cents(accounts) == [100, 100, 7, 6]


@pytest.mark.parametrize(
    ("where", "ids", "found"),
    [
        ("id IN %s", [1, 2, 9], [1, 2]),
        ("id IN %s", (2,), [2]),
        ("id in\n%s", {2}, [2]),
        ("id IN %s", frozenset({2}), [2]),
        ("id IN %s", [], []),
        ("id NOT IN %s", [1], [2]),
        ("id NOT IN %s", [], [1, 2]),
        ("open NOT IN %s", [], [1, 2]),  # NULL too
        ("id IN%s", ["2", b"1"], [1, 2]),
        ("(id, cents) IN %s", [(1, 100), [2, 7]], [1]),
    ],
)
def test_a_list_stands_after_in(accounts: MariaDB, where: str, ids: Any, found: list[int]) -> None:
    accounts.run("UPDATE pyserver.accounts SET open = NULL")
    assert [row["id"] for row in mysql.rows(f"{SELECT} {where} ORDER BY id", ids)] == found
    named = f"{SELECT} {where} ORDER BY id".replace("%s", "%(ids)s")
    assert [row["id"] for row in mysql.rows(named, {"ids": ids})] == found


def test_only_a_list_is_a_list(accounts: MariaDB) -> None:
    with pytest.raises(StatementError, match="1064"):  # not IN ('1', '2')
        mysql.rows(f"{SELECT} id IN %s AND id IN %s", [1, 2], "12")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT '%s'",
        "SELECT 1 FROM DUAL WHERE 'a' LIKE '%%%s%%'",
        "SELECT 'it''s' = 'a %s'",
        "SELECT 'it\\'s %s'",
        'SELECT "%s"',
        "SELECT 1 AS `%s`",
        "SELECT '%(a)s'",
        "SELECT 1 /* %s */",
        "SELECT 1 -- %s",
        "SELECT 1 # %s",
        "SELECT 'not closed, %s",
        "SELECT 1 FROM DUAL WHERE 'a' = %s AND 'b",
    ],
)
@pytest.mark.parametrize("value", [" OR 1=1 -- ", "*/ OR 1=1 -- "])
def test_no_parameter_stands_in_quotes_or_comments(accounts: MariaDB, sql: str, value: str) -> None:
    with pytest.raises(StatementError) as caught:
        mysql.value(sql, *[{"a": value}] if "(a)" in sql else [value])
    assert caught.value.code == 0


def test_quotes_and_comments_stand_beside_parameters(accounts: MariaDB) -> None:
    sql = """SELECT /* it's -- */ CONCAT('it''s \\'', "%%", %s, '/*', `a`.`it``s`) -- it's
        FROM (SELECT 1 AS `it``s`) AS a # "100%%"
        WHERE 1 /*! = %s */"""
    assert mysql.value(sql, "'", 1) == "it's '%'/*1"


def test_an_empty_list_deletes_nothing_or_all(accounts: MariaDB) -> None:
    assert mysql.execute("DELETE FROM accounts WHERE id IN %s", []).rowcount == 0
    assert mysql.execute("DELETE FROM accounts WHERE id NOT IN %s", []).rowcount == 2


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE accounts SET cents = %s",
        "INSERT INTO accounts (cents) VALUES (%s)",
        f"{SELECT} id IN (%s)",
        f"{SELECT} id = %s",
        "SELECT MIN%s",
        "SELECT 1 AS `in` %s",
        "SELECT @in %s",
    ],
)
@pytest.mark.parametrize("value", [[], [1], (1, 2)])
def test_a_list_elsewhere_is_refused(accounts: MariaDB, sql: str, value: Any) -> None:
    with pytest.raises(TypeError, match="after IN"):
        mysql.execute(sql, value)
    assert cents(accounts) == [100, 100]


@pytest.mark.parametrize(
    ("sql", "given", "error"),
    [
        ("UPDATE accounts SET cents = %s WHERE id = %s", (1,), StatementError),
        ("UPDATE accounts SET cents = %s WHERE id = %s", (1, 2, 3), StatementError),
        ("UPDATE accounts SET cents = 1 WHERE '%%'", (1,), StatementError),
        ("UPDATE accounts SET cents = 1", (1,), StatementError),
        ("UPDATE accounts SET cents = %d", (1,), StatementError),
        ("UPDATE accounts SET cents = %.1s", ("7",), StatementError),
        ("UPDATE accounts SET cents = %r", (1,), StatementError),
        ("UPDATE accounts SET cents = %s WHERE id LIKE '%'", (1,), StatementError),
        ("UPDATE accounts SET cents = %s WHERE id LIKE '1%", (1,), StatementError),
        ("UPDATE accounts SET cents = %(cents)s", ({"cent": 1},), StatementError),
        ("UPDATE accounts SET cents = %(cents)s WHERE id = %s", ({"cents": 1},), StatementError),
        ("UPDATE accounts SET cents = %(cents)d", ({"cents": 1},), StatementError),
        ("UPDATE accounts SET cents = %(cents)s", (1,), TypeError),
        ("UPDATE accounts SET cents = %(cents)s", ({"cents": 1}, 2), TypeError),
        ("UPDATE accounts SET cents = %s", ({"cents": 1},), TypeError),
        ("UPDATE accounts SET cents = 1 -- \ud800", (), StatementError),
        ("UPDATE accounts SET cents = '\ud800' WHERE id = %s", (1,), StatementError),
        (b"UPDATE accounts SET cents = 1", (), Exception),
        (None, (), Exception),
        (None, (1,), Exception),
    ],
)
def test_a_mistake_is_an_error_and_costs_no_connection(
    accounts: MariaDB, sql: Any, given: Any, error: type[Exception]
) -> None:
    used = mysql.value("SELECT CONNECTION_ID()")
    with pytest.raises(error) as caught:
        mysql.execute(sql, *given)
    assert getattr(caught.value, "code", 0) == 0  # it is not the server's
    with pytest.raises(error), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 1")
        tx.execute(sql, *given)
    with pytest.raises(error), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 1")
        tx.execute_many(sql, [given])
    assert mysql.value("SELECT CONNECTION_ID()") == used
    assert cents(accounts) == [100, 100]


@pytest.mark.parametrize("row", [(1,), (1, 2, 3), (1, object()), "12", 1, None, {"a": 1}, {1, 2}])
@pytest.mark.parametrize("sql", [INSERT, "UPDATE accounts SET cents = %s WHERE id = %s"])
def test_a_mistake_in_a_later_row_costs_no_connection(
    accounts: MariaDB, sql: str, row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parameters, "BATCH_BYTES", 20)
    used = mysql.value("SELECT CONNECTION_ID()")
    with pytest.raises((StatementError, TypeError)):
        mysql.execute_many(sql, [(7, 1), (8, 1), (9, 1), row])
    assert mysql.value("SELECT CONNECTION_ID()") == used
    assert cents(accounts) == [100, 100]


@pytest.mark.parametrize("batch_bytes", [1, 20, 1_000_000])
def test_many_rows_are_counted_whatever_they_change(
    accounts: MariaDB, batch_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parameters, "BATCH_BYTES", batch_bytes)
    rows = [(1, 100), (2, 7), (3, 7)]
    assert mysql.execute_many(f"/* why */ REPLACE{INSERT[6:]}", [(2, 5)]) == 1
    upsert = f"{INSERT} ON DUPLICATE KEY UPDATE cents = VALUES(cents)"
    assert mysql.execute_many(upsert, rows) == 3
    assert mysql.execute_many(f"{INSERT} ON DUPLICATE KEY UPDATE cents = %s", [(1, 1, 5)]) == 1
    assert mysql.execute_many(INSERT.replace("INSERT", "REPLACE"), iter(rows)) == 3
    assert mysql.execute_many(INSERT.replace("INSERT", "INSERT IGNORE"), [*rows, (4, 7)]) == 1
    assert cents(accounts) == [100, 7, 7, 7]
    update = "UPDATE accounts SET cents = 7 WHERE id = %s"
    assert mysql.execute_many(update, [(2,), (3,), (9,)]) == 2
    assert mysql.execute_many("DELETE FROM accounts WHERE id = %s", [(2,), (9,)]) == 1
    assert mysql.execute_many(INSERT, []) == mysql.execute_many(INSERT, iter([])) == 0


def test_many_rows_go_in_statements_that_are_not_too_large() -> None:
    rows = [(number, "x" * 1000) for number in range(2000)]
    sent = list(parameters.batches(INSERT, rows, quote))
    assert len(sent) == 3
    assert all(len(data) < 1_048_576 for data, _ in sent)
    assert [row for _, batch in sent for row in batch] == rows
    assert sent[2][0].startswith(b"INSERT INTO accounts (id, cents) VALUES (19")


def test_rows_are_found_also_if_they_do_not_change(accounts: MariaDB) -> None:
    update = "UPDATE accounts SET cents = 100 WHERE id <= %s"
    assert mysql.execute(update, 2).rowcount == 2
    with mysql.transaction() as tx:
        assert tx.execute(update, 1).rowcount == 1
        assert tx.execute(update, 0).rowcount == 0


def test_percent_signs_around_the_values_of_many_rows_are_one(accounts: MariaDB) -> None:
    accounts.run("ALTER TABLE pyserver.accounts ADD `a%b` INT")
    insert = "INSERT INTO accounts (id, cents, `a%%b`) VALUES (%s, %s, %s)"
    upsert = f"{insert} ON DUPLICATE KEY UPDATE `a%%b` = 5"
    assert mysql.execute_many(upsert, [(1, 1, 1), (3, 1, 1)]) == 2
    assert [row["a%b"] for row in mysql.rows("SELECT * FROM accounts ORDER BY id")] == [5, None, 1]
