"""A migration's file: what the mysql client takes, goes in, and what fails is told in a line."""

import re
import signal
import socket
from collections.abc import Iterator

import pymysql
import pytest

from tests.support.schema import Schema
from tests.support.service import wait_until
from utils.dev.servers import free_port

CREATE_A = "CREATE TABLE a (i INT PRIMARY KEY)"
NOTE = "is not all or nothing: statement"
PART = "what ran before is done; if the answer was lost, this may be done too"


@pytest.fixture
def client(schema: Schema) -> Iterator["pymysql.connections.Connection"]:
    """A connection of somebody else's to the database."""
    with pymysql.connect(
        host="127.0.0.1",
        port=schema.mariadb.port,
        user="pyserver",
        password=schema.mariadb.password,
        database=schema.database,
    ) as connection:
        yield connection


def test_files_without_statements_are_applied(schema: Schema) -> None:
    texts = ["", "\n", "-- nothing\n/* here; */ # or here", ";;", "\ufeff"]
    for number, text in enumerate(texts, 1):
        schema.write(f"000{number}_empty.sql", text)
    schema.write("0006_create_a.sql", CREATE_A)
    code, out, err = schema.migrate()
    assert (code, out.count("_empty.sql\n"), err) == (0, len(texts), "")
    assert "applied 0006_create_a.sql\n" in out


def test_what_the_client_takes_goes_in(schema: Schema) -> None:
    schema.write(
        "0001_odd.sql",
        f"\ufeff{CREATE_A};;\r\n/*!80000 SELECT 1 */;\n/*M!999999 SELECT 1 FROM */;\n"
        "DELIMITER //\r\nCREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN\n"
        "  SET NEW.i = NEW.i + 1; -- it's; one\n  SET NEW.i = NEW.i * 2;\nEND//\n"
        "CREATE PROCEDURE p() BEGIN SELECT 1; INSERT INTO a VALUES (10); SELECT 2; END//\n"
        "DELIMITER ;\nCALL p();\nINSERT INTO a VALUES (1) -- no ; here",
    )
    code, out, err = schema.migrate()
    assert (code, out) == (0, "applied 0001_odd.sql\n"), err
    assert err.startswith(f"0001_odd.sql {NOTE} 1 (line 1)")
    assert schema.run("SELECT i FROM a ORDER BY i") == [{"i": 4}, {"i": 22}]


def test_a_large_file_goes_in(schema: Schema) -> None:
    insert = f"INSERT INTO a VALUES ('{'x' * 10_000}''; \\'');\n"
    schema.write("0001_create_a.sql", "CREATE TABLE a (t TEXT)")
    schema.write("0002_fill_a.sql", insert * 2_000)
    assert schema.migrate()[:2] == (0, "applied 0001_create_a.sql\napplied 0002_fill_a.sql\n")
    assert schema.count("a") == 2_000


DUMPED = """
CREATE TABLE customer (
    id INT PRIMARY KEY, name VARCHAR(50) COMMENT 'it''s; "quoted"', UNIQUE (name)
);
CREATE TABLE sale (id INT AUTO_INCREMENT PRIMARY KEY, customer INT, cents INT, doc BLOB,
    FOREIGN KEY (customer) REFERENCES customer (id));
INSERT INTO customer VALUES (1, 'a;b''c"d`e\\\\f\\ng -- h'), (2, '😀 /* i */');
INSERT INTO sale (customer, cents, doc) VALUES (1, 100, X'00FF3B275C0D0A22'), (2, 200, NULL);
CREATE VIEW total AS SELECT customer, SUM(cents) AS cents FROM sale GROUP BY customer;
DELIMITER //
CREATE TRIGGER doubled BEFORE INSERT ON sale FOR EACH ROW BEGIN
    -- a comment; with a semicolon
    SET NEW.cents = NEW.cents * 2;
END//
CREATE FUNCTION tenfold(n INT) RETURNS INT DETERMINISTIC BEGIN RETURN n * 10; END//
CREATE PROCEDURE sell(who INT) BEGIN INSERT INTO sale (customer, cents) VALUES (who, 1); END//
CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM sale WHERE id < 0; END//
"""


@pytest.mark.parametrize("options", [[], ["--skip-extended-insert", "--hex-blob", "--compact"]])
def test_a_dump_goes_in(schema: Schema, options: list[str]) -> None:
    source = f"{schema.database}_source"
    schema.mariadb.run(
        f"CREATE DATABASE {source} CHARACTER SET utf8mb4", f"GRANT ALL ON {source}.* TO pyserver"
    )
    schema.env["MYSQL_DATABASE"] = source
    schema.write("0001_all.sql", DUMPED)
    code, _, err = schema.migrate()
    assert code == 0, err
    schema.env["MYSQL_DATABASE"] = schema.database
    parts = ["--routines", "--triggers", "--events", *options]
    ignored = f"--ignore-table={source}.migrations"
    schema.write("0001_all.sql", schema.dump(source, *parts, ignored))
    code, out, err = schema.migrate()
    assert (code, out) == (0, "applied 0001_all.sql\n"), err
    assert NOTE in err
    kinds = ["--routines", "--triggers", "--events", "--hex-blob", "--skip-comments"]
    copy = schema.dump(schema.database, *kinds, f"--ignore-table={schema.database}.migrations")
    assert copy == schema.dump(source, *kinds, ignored)
    assert b"tenfold" in copy
    assert b"doubled" in copy
    schema.mariadb.run(f"DROP DATABASE {source}")


def test_a_session_ends_with_its_file(schema: Schema) -> None:
    schema.write("0001_create_a.sql", "SET sql_mode = ''; CREATE TABLE a (i INT)")
    schema.write("0002_fill_a.sql", "INSERT INTO a VALUES ('x')")
    code, out, err = schema.migrate()
    assert (code, out) == (1, "applied 0001_create_a.sql\n")
    assert "0002_fill_a.sql, statement 1 (line 1): (1366, " in err


LEAVE_SOMETHING = [
    "LOCK TABLES a WRITE; INSERT INTO a VALUES (1)",
    "SET autocommit = 0; INSERT INTO a VALUES (2)",
    "START TRANSACTION; INSERT INTO a VALUES (3)",
    "USE {other}; INSERT INTO {database}.a VALUES (4)",
    "USE {other}; CREATE TABLE b (i INT); INSERT INTO {database}.a VALUES (5)",
    "SET sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'; INSERT INTO a VALUES (6)",
]


def test_what_a_file_leaves_in_its_session_does_not_lose_it(schema: Schema) -> None:
    other = f"{schema.database}_other"
    schema.mariadb.run(f"CREATE DATABASE {other}", f"GRANT ALL ON {other}.* TO pyserver")
    schema.write("0000_create_a.sql", CREATE_A)
    for number, text in enumerate(LEAVE_SOMETHING, 1):
        sql = text.format(database=schema.database, other=other)
        schema.write(f"000{number}_fill_a.sql", sql)
    code, _, err = schema.migrate()
    assert code == 0, err
    assert schema.run("SELECT i FROM a") == [{"i": number} for number in range(1, 7)]
    assert schema.applied() == sorted(path.name for path in schema.folder.iterdir())
    schema.mariadb.run(f"DROP DATABASE {other}")


def test_a_failure_undoes_the_file_and_the_rest_waits_for_it(schema: Schema) -> None:
    schema.write("0001_create_a.sql", CREATE_A)
    schema.write("0002_fill_a.sql", "INSERT INTO a VALUES (1);\n\nINSERT INTO a VALUES ('x')")
    schema.write("0003_create_b.sql", "CREATE TABLE b (i INT)")
    code, out, err = schema.migrate()
    assert (code, out) == (1, "applied 0001_create_a.sql\n")
    assert err.startswith("migrate: 0002_fill_a.sql, statement 2 (line 3): (1366, ")
    assert err.endswith("; the file is rolled back\n")
    assert err.count("\n") == 1
    assert schema.count("a") == 0
    assert schema.tables() == {"a", "migrations"}
    schema.write("0002_fill_a.sql", "INSERT INTO a VALUES (1)")
    assert schema.migrate()[:2] == (0, "applied 0002_fill_a.sql\napplied 0003_create_b.sql\n")


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO a VALUES (1);\nALTER TABLE a ADD b INT;\nALTER TABLE a ADD b INT",
        "INSERT INTO a VALUES (1);\nLOCK TABLES a WRITE;\nINSERT INTO a VALUES (1)",
        "INSERT INTO a VALUES (1);\nBEGIN;\nINSERT INTO a VALUES (1)",
        "INSERT INTO a VALUES (1);\nSET autocommit = 0;\nINSERT INTO a VALUES (1)",
        "INSERT INTO a VALUES (1);\n/*!40000 ALTER TABLE a DISABLE KEYS */;\nSELECT x",
    ],
)
def test_what_cannot_be_undone_is_said_before_it_runs(schema: Schema, text: str) -> None:
    schema.write("0001_create_a.sql", CREATE_A)
    schema.write("0002_change_a.sql", text)
    code, out, err = schema.migrate()
    assert (code, out) == (1, "applied 0001_create_a.sql\n")
    note, failure = err.splitlines()
    assert note.startswith(f"0002_change_a.sql {NOTE} 2 (line 2) may commit by itself")
    assert failure.startswith("migrate: 0002_change_a.sql, statement 3 (line 3): (1")
    assert failure.endswith(f"; {PART}")
    assert schema.count("a") == 1


def test_a_file_that_cannot_be_split_is_refused_before_any_runs(schema: Schema) -> None:
    schema.write("0001_create_a.sql", CREATE_A)
    schema.write("0002_fill_a.sql", "INSERT INTO a VALUES (1);\nINSERT INTO a VALUES ('x);\n")
    assert schema.refusal() == "0002_fill_a.sql, line 2: ' is not closed"
    assert schema.applied() == []


def test_a_statement_that_is_too_large_is_refused(schema: Schema) -> None:
    limit = int(str(schema.run("SELECT @@max_allowed_packet AS n")[0]["n"]))
    schema.write("0001_large.sql", f"DO 1;\nDO '{'x' * limit}'")
    reason = f"0001_large.sql, statement 2 (line 2): (1153, '{limit + 6} bytes, but max_allowed_"
    assert schema.refusal().startswith(reason)


def test_without_mysql_it_fails_in_a_line(schema: Schema) -> None:
    schema.env["MYSQL_PORT"] = str(free_port())
    assert schema.refusal().startswith("(2003, ")
    schema.env["MYSQL_HOST"] = ""
    assert schema.refusal() == "MySQL is not configured"


def test_what_speaks_another_protocol_is_told(schema: Schema) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        schema.env["MYSQL_PORT"] = str(server.getsockname()[1])
        process = schema.start()
        connection, _ = server.accept()
        connection.sendall(b"\x05\0\0\0HTTP?")
        connection.close()
        _, err = process.communicate(timeout=300)
    assert re.fullmatch(r"migrate: what answers at 127.0.0.1:\d+ is not MySQL \(.+\)\n", err)


def test_a_lost_connection_is_told(schema: Schema) -> None:
    schema.write("0001_create_a.sql", f"{CREATE_A}; DO SLEEP(50)")
    process = schema.start()
    sleeping = "SELECT id FROM information_schema.processlist WHERE info LIKE 'DO SLEEP(50)%'"
    (row,) = wait_until(lambda: schema.run(sleeping))
    schema.run(f"KILL {row['id']}")
    _, err = process.communicate(timeout=300)
    failure = err.splitlines()[-1]
    assert failure.startswith("migrate: 0001_create_a.sql, statement 2 (line 1): (2013, ")
    assert failure.endswith(f"; {PART}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_statement_at_the_server(
    schema: Schema, client: "pymysql.connections.Connection", number: int
) -> None:
    schema.write("0001_create_a.sql", f"{CREATE_A}; INSERT INTO a VALUES (1)")
    schema.migrate()
    schema.write("0002_change_a.sql", "CREATE TABLE b (i INT);\nUPDATE a SET i = 2")
    client.begin()
    client.cursor().execute("SELECT * FROM a FOR UPDATE")
    process = schema.start()
    blocked = "SELECT id FROM information_schema.processlist WHERE info LIKE 'UPDATE a SET%'"
    wait_until(lambda: schema.run(blocked))
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    _, failure = err.splitlines()
    assert failure.startswith("migrate: 0002_change_a.sql, statement 2 (line 2): interrupted; ")
    wait_until(lambda: not schema.run(blocked))


def test_readers_pass_an_alter_that_waits_for_a_lock(
    schema: Schema, client: "pymysql.connections.Connection"
) -> None:
    schema.write("0001_create_a.sql", CREATE_A)
    schema.migrate()
    schema.write("0002_alter_a.sql", "ALTER TABLE a ADD b INT")
    cursor = client.cursor()
    client.begin()
    cursor.execute("SELECT * FROM a")  # holds the table's metadata until its transaction ends
    process = schema.start()
    assert process.stderr
    line = process.stderr.readline()
    assert line.startswith("0002_alter_a.sql, statement 1 (line 1) waits for a lock")
    waiting = "SELECT 1 FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'"
    for _ in range(2):
        wait_until(lambda: schema.run(waiting))
        assert schema.count("a") == 0  # a reader gets in between the tries
    client.commit()
    assert process.communicate(timeout=300)[0] == "applied 0002_alter_a.sql\n"
    assert process.returncode == 0


def test_the_wait_for_a_lock_is_bounded(
    schema: Schema, client: "pymysql.connections.Connection"
) -> None:
    schema.write("0001_create_a.sql", CREATE_A)
    schema.migrate()
    schema.write("0002_alter_a.sql", "ALTER TABLE a ADD b INT")
    client.begin()
    client.cursor().execute("SELECT * FROM a")
    _, _, err = schema.migrate("--wait", "0.1")
    assert "0002_alter_a.sql, statement 1 (line 1): (1205, " in err
    assert err.endswith(f"; {PART}\n")


def test_a_file_that_waited_for_a_row_is_run_again_as_a_whole(
    schema: Schema, client: "pymysql.connections.Connection"
) -> None:
    schema.write("0001_create_a.sql", f"{CREATE_A}; INSERT INTO a VALUES (1)")
    schema.migrate()
    schema.write(
        "0002_fill_a.sql",
        "SET innodb_lock_wait_timeout = 1; INSERT INTO a VALUES (2);UPDATE a SET i = 9 WHERE i = 1",
    )
    client.begin()
    client.cursor().execute("SELECT * FROM a WHERE i = 1 FOR UPDATE")
    process = schema.start()
    assert process.stderr
    assert "statement 3 (line 1) waits for a lock" in process.stderr.readline()
    client.commit()
    assert process.communicate(timeout=300)[0] == "applied 0002_fill_a.sql\n"
    assert schema.run("SELECT i FROM a ORDER BY i") == [{"i": 2}, {"i": 9}]
