"""A statement that would end the transaction which it is part of is refused before it is sent."""

import pytest

from tests.support.mysql import cents, in_use
from utils.dev.servers import MariaDB
from utils.errors import UnavailableError
from utils.mysql import StatementError, mysql

COMMITTING = [
    "BEGIN",
    "START TRANSACTION READ ONLY",
    "COMMIT",
    "rollback",
    "ROLLBACK AND CHAIN",
    "XA START 'a'",
    "BEGIN NOT ATOMIC SELECT 1; COMMIT; END",
    "IF 1 THEN COMMIT; END IF",
    "EXECUTE IMMEDIATE 'COMMIT'",
    "EXECUTE prepared",
    "SET autocommit = 1",
    "SET @a = 1, @@session.`AUTOCOMMIT` = 0",
    "SET @a = 1 /*!, autocommit = 0 */",
    "SET STATEMENT max_statement_time = 1 FOR TRUNCATE accounts",
    "SET PASSWORD = 'a'",
    "SET DEFAULT ROLE NONE",
    "SET GLOBAL max_connections = 9",
    "ALTER TABLE accounts ADD name TEXT",
    "CREATE TABLE pyserver.made (id INT)",
    "CREATE TEMPORARY SEQUENCE made",
    "CREATE INDEX temporary ON accounts (cents)",
    "DROP TABLE IF EXISTS temporary",
    "RENAME TABLE accounts TO other",
    "TRUNCATE accounts",
    "ANALYZE TABLE accounts",
    "CHECK TABLE accounts",
    "OPTIMIZE TABLE accounts",
    "REPAIR TABLE accounts",
    "CACHE INDEX accounts IN default",
    "LOAD INDEX INTO CACHE accounts",
    "FLUSH STATUS",
    "RESET QUERY CACHE",
    "LOCK TABLES accounts WRITE",
    "UNLOCK TABLES",
    "GRANT SELECT ON pyserver.* TO pyserver",
    "REVOKE SELECT ON pyserver.* FROM pyserver",
    "INSTALL PLUGIN a SONAME 'a'",
    "UNINSTALL PLUGIN a",
    "IMPORT TABLE FROM 'a'",
    "CLONE LOCAL DATA DIRECTORY '/a'",
    "START REPLICA",
    "SHUTDOWN",
    "(COMMIT)",
    " \t\n\v\f commit",
    "-- a comment\nCOMMIT",
    "--\n#\n/**//* SELECT */COMMIT",
    "/*!COMMIT*/",
    "/*!50000 COMMIT */",
    "/*M!100100 COMMIT */",
    "/*!999999 SELECT */ COMMIT",
    "/*! SELECT */ COMMIT /**/",
    "/*! TRUNCATE accounts -- */ SELECT 1\n*/",
    "/*+ SELECT */ COMMIT",
    ";COMMIT",
    "\u00a0COMMIT",
    "",
]


@pytest.mark.parametrize("sql", COMMITTING)
def test_what_would_end_the_transaction_is_not_sent(accounts: MariaDB, sql: str) -> None:
    with mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 0")
        with pytest.raises(RuntimeError, match="no ROLLBACK undoes it"):
            tx.execute(sql)
        with pytest.raises(RuntimeError, match="no ROLLBACK undoes it"):
            tx.execute_many(sql, [()])
        assert cents(accounts) == [100, 100]
        tx.execute("UPDATE accounts SET cents = cents + 1")
    assert cents(accounts) == [1, 1]


@pytest.mark.parametrize(
    "sql",
    [
        "(SELECT 1)",
        "-- a comment\n/* another */ ( /**/ select 1)",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "SELECT 1 /*! + 1 */",
        "DO 1",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "DESC accounts",
        "USE pyserver",
        "SET @a = 1",
        "SET time_zone = '+00:00', @b = 2",
        "SAVEPOINT b",
        "ROLLBACK /* a */ WORK\n TO SAVEPOINT a",
        "ROLLBACK TO a",
        "RELEASE SAVEPOINT a",
        "CREATE TEMPORARY TABLE made (id INT)",
        "DROP /**/ TEMPORARY\tTABLE IF EXISTS made",
        "CHECKSUM TABLE accounts",
        "GET DIAGNOSTICS @n = NUMBER",
        "REPLACE INTO accounts (id, cents) VALUES (3, 3)",
        "SELECT * FROM accounts FOR UPDATE",
    ],
)
def test_what_stays_within_the_transaction_is_sent(accounts: MariaDB, sql: str) -> None:
    with pytest.raises(ZeroDivisionError), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 0")
        tx.execute("SAVEPOINT a")
        tx.execute(sql)
        tx.execute("SELECT 1")
        raise ZeroDivisionError
    assert cents(accounts) == [100, 100]


def test_a_second_statement_is_not_hidden_behind_the_first(accounts: MariaDB) -> None:
    with mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 0")
        with pytest.raises(StatementError, match="1064"):
            tx.execute("SELECT 1; COMMIT")
        assert cents(accounts) == [100, 100]


def make_procedure(server: MariaDB, name: str, body: str) -> None:
    server.run(
        f"DROP PROCEDURE IF EXISTS pyserver.{name}",
        f"CREATE PROCEDURE pyserver.{name}() BEGIN {body}; END",
    )


@pytest.mark.parametrize(
    "body",
    [
        "COMMIT",
        "ROLLBACK",
        "COMMIT; START TRANSACTION",
        "COMMIT; SIGNAL SQLSTATE '45000'",
        "TRUNCATE pyserver.other",
        "SELECT 1; COMMIT; START TRANSACTION; SELECT 2",
    ],
)
def test_a_procedure_that_ended_the_transaction_is_found_out(accounts: MariaDB, body: str) -> None:
    accounts.run("CREATE TABLE IF NOT EXISTS pyserver.other (id INT)")
    make_procedure(accounts, "ends", body)
    with pytest.raises(RuntimeError, match="over"), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = cents - 1")
        with pytest.raises(RuntimeError, match=r"ended the transaction.*CALL ends\(\)"):
            tx.execute("/* a */ CALL ends()")
        with pytest.raises(RuntimeError, match="over"):
            tx.execute("UPDATE accounts SET cents = 0")
    assert cents(accounts) in ([99, 99], [100, 100])
    assert in_use() <= 1
    assert mysql.value("SELECT 2") == 2


def test_a_procedure_that_leaves_the_transaction_alone_is_part_of_it(accounts: MariaDB) -> None:
    update = "UPDATE accounts SET cents = cents + 1"
    make_procedure(accounts, "pay", f"SELECT 7; {update}")
    make_procedure(accounts, "fails", f"{update}; SIGNAL SQLSTATE '45000'")
    with mysql.transaction() as tx:
        assert tx.value("CALL pay()") == 7
        with pytest.raises(StatementError):
            tx.execute("CALL fails()")
        assert tx.value("SELECT SUM(cents) FROM accounts") == 204
        assert cents(accounts) == [100, 100]
    assert cents(accounts) == [102, 102]


def test_a_procedure_that_loses_its_connection_is_unavailable(accounts: MariaDB) -> None:
    make_procedure(accounts, "dies", "KILL CONNECTION_ID()")
    with pytest.raises(UnavailableError), mysql.transaction() as tx:
        tx.execute("CALL dies()")
