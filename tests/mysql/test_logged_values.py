"""What MySQL says is whole for the api that handles it, and without values where it is logged."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pymysql
import pytest

from tests.support.mysql import refused
from tests.support.service import Service
from utils.dev.servers import MariaDB
from utils.mysql import DuplicateKeyError, StatementError, mysql
from utils.mysql.errors import as_statement_error


@pytest.fixture
def users(accounts: MariaDB) -> MariaDB:
    accounts.run(
        "DROP TABLE IF EXISTS pyserver.users, pyserver.parts",
        "DROP PROCEDURE IF EXISTS pyserver.fail",
        "CREATE TABLE pyserver.users (id INT PRIMARY KEY, email VARCHAR(99) UNIQUE,"
        " age TINYINT, CONSTRAINT not_old CHECK (age < 100), born DATE)",
        "INSERT INTO pyserver.users (id, email) VALUES (7, 'eve@secret.org')",
        "CREATE TABLE pyserver.parts (id INT)"
        " PARTITION BY RANGE (id) (PARTITION few VALUES LESS THAN (9))",
        "CREATE PROCEDURE pyserver.fail(text VARCHAR(99)) "
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = text",
    )
    return accounts


def error_of(sql: str, *values: Any) -> StatementError:
    with pytest.raises(StatementError) as caught:
        mysql.execute(sql, *values)
    return caught.value


@pytest.mark.parametrize(
    ("values", "key"),
    [((7, "new"), "PRIMARY"), ((8, "eve@secret.org"), "email")],
)
def test_the_key_that_was_hit_is_told(users: MariaDB, values: Any, key: str) -> None:
    with pytest.raises(DuplicateKeyError) as caught:
        mysql.execute("INSERT INTO users (id, email) VALUES (%s, %s)", *values)
    error = caught.value
    assert isinstance(error, pymysql.err.IntegrityError)
    value = values[0] if key == "PRIMARY" else values[1]
    assert error.args[1].startswith(f"Duplicate entry '{value}' for key ")
    assert (error.code, error.key, error.sqlstate) == (1062, key, "23000")
    assert str(error) == f"(1062, \"Duplicate entry '...' for key '{key}'\")"


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ("Duplicate entry 'a' for key 'b' for key 'PRIMARY'", "PRIMARY"),
        ("Duplicate entry 'a' for key 'users.email'", "email"),
        ("Duplicate entry 'it''s ' cut at 512 byt", ""),
    ],
)
def test_the_key_is_what_mysql_names_last(message: str, key: str) -> None:
    error = as_statement_error(pymysql.err.IntegrityError(1062, message))
    assert isinstance(error, DuplicateKeyError)
    assert error.key == key


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("INSERT INTO users (id, email) VALUES (1, %s)", "eve@secret.org"),
        ("INSERT INTO users (id, born) VALUES (1, %s)", "secret"),
        ("INSERT INTO users (id) VALUES (%s)", "secret"),
        ("SELECT %s FROM FROM", "secret"),
        ("SELECT 1 FROM FROM %s", "secret"),
        ("CALL fail(%s)", "no quotes around a secret"),
        ("INSERT INTO parts VALUES (%s)", 4711),  # "Table has no partition for value 4711"
        ("KILL %s", 4711),
        ("SET lc_time_names = %s", "secret"),
        ("SELECT CONVERT_TZ(NOW(), 'UTC', 'UTC') FROM users WHERE email REGEXP %s", "(secret"),
    ],
)
def test_no_value_is_in_a_traceback(users: MariaDB, sql: str, value: Any) -> None:
    error = error_of(sql, value)
    shown = logging.Formatter().formatException((type(error), error, error.__traceback__))
    assert str(error.code) in shown
    for text in (str(error), repr(error), shown):
        assert "secret" not in text
        assert "4711" not in text


def test_a_name_is_in_the_message(users: MariaDB) -> None:
    assert "Unknown column 'nam'" in str(error_of("SELECT nam FROM users"))
    assert "Table 'pyserver.user' doesn't exist" in str(error_of("SELECT * FROM user"))
    assert "not_old" in str(error_of("INSERT INTO users (id, age) VALUES (1, 101)"))
    assert "2 bytes" in repr(as_statement_error(pymysql.err.OperationalError(1153, "2 bytes")))


def test_values_are_shown_if_the_setting_says_so(
    users: MariaDB, show_values: Callable[[], None]
) -> None:
    error = error_of("SELECT 1 FROM FROM %s", "secret")
    assert "secret" not in str(error)
    show_values()
    assert "secret" in str(error)


def test_a_statement_is_logged_without_its_values(
    accounts: MariaDB, caplog: pytest.LogCaptureFixture, show_values: Callable[[], None]
) -> None:
    caplog.set_level(logging.DEBUG, logger="pyserver")
    mysql.row("SELECT * FROM accounts WHERE id = %s", 987654321)
    assert "mysql " in caplog.text
    assert "SELECT * FROM accounts WHERE id = %s" in caplog.text
    assert "987654321" not in caplog.text
    show_values()
    mysql.row("SELECT * FROM accounts WHERE id = %s", 987654321)
    assert "987654321" in caplog.text


def test_what_is_unavailable_is_logged_without_values(
    accounts: MariaDB, caplog: pytest.LogCaptureFixture
) -> None:
    accounts.run("SET GLOBAL read_only = 1")
    try:
        refused(mysql.execute, "UPDATE accounts SET cents = %s", 987654321)
    finally:
        accounts.run("SET GLOBAL read_only = 0")
    assert "1290" in caplog.text
    assert "987654321" not in caplog.text


def test_a_slow_statement_is_logged_as_a_warning(
    accounts: MariaDB, caplog: pytest.LogCaptureFixture
) -> None:
    mysql.value("SELECT SLEEP(0.6)")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "SELECT SLEEP(0.6)" in caplog.text


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_log_of_a_crash_has_no_value(service: Service, users: MariaDB, form: str) -> None:
    service.env.update(users.env(), LOG_FORMAT=form, WORKERS="1")
    insert = 'mysql.execute("INSERT INTO users (id, email) VALUES (1, %s)", self.email)'
    service.edit("api.py", "    order_id: Annotated[int, Meta(ge=1)]", "    email: str")
    service.edit("api.py", 'echoed: ClassVar[tuple[str, ...]] = ("order_id",)', "")
    service.edit("api.py", "return TestResult", f"{insert}\n        return TestResult")
    service.sh("start", check=True)
    status, _, _ = service.request("/test", json.dumps({"email": "eve@secret.org"}))
    assert status == 500
    assert "Duplicate entry '...' for key 'email'" in service.log()
    assert "Traceback" in service.log("error")
    assert "eve@secret.org" not in service.log() + service.log("error")
