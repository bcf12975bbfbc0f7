"""The session is set, whatever the server and a gateway before it make of a new connection."""

import struct
from collections.abc import Iterator
from typing import Any

import gevent
import pymysql
import pytest

from conf.current import settings
from tests.support.mysql import cents, close_idle, connections, in_use, round_trips, set_mysql
from tests.support.proxy import Proxy
from tests.support.rogue_mysql import OK, Wire, rogue_mysql
from tests.support.service import wait_until
from utils.dev.servers import MariaDB
from utils.mysql import StatementError, mysql, session

OTHER = (
    "SET autocommit = 0, time_zone = '+08:00', sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES',"
    " NAMES latin1, lock_wait_timeout = 9, innodb_lock_wait_timeout = 9"
)


@pytest.fixture
def strange(accounts: MariaDB) -> Iterator[MariaDB]:
    """A server whose new sessions are not as ours have to be."""
    accounts.run(f'SET GLOBAL init_connect = "{OTHER}"')
    close_idle()
    yield accounts
    accounts.run("SET GLOBAL init_connect = ''")
    close_idle()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("autocommit", 1),
        ("time_zone", "+00:00"),
        ("character_set_client", "utf8mb4"),
        ("character_set_results", "utf8mb4"),
        ("lock_wait_timeout", settings.mysql.lock_wait),
        ("innodb_lock_wait_timeout", settings.mysql.lock_wait),
    ],
)
def test_a_session_is_as_ours_have_to_be(strange: MariaDB, variable: str, value: Any) -> None:
    assert mysql.value(f"SELECT @@{variable}") == value


@pytest.mark.parametrize(
    ("database", "session"),
    [
        ("utf8mb4 COLLATE utf8mb4_bin", "utf8mb4_bin"),
        ("utf8mb4 COLLATE utf8mb4_spanish_ci", "utf8mb4_spanish_ci"),
        ("latin1 COLLATE latin1_german1_ci", "utf8mb4_unicode_520_ci"),
    ],
)
def test_the_collation_is_that_of_the_database(
    strange: MariaDB, monkeypatch: pytest.MonkeyPatch, database: str, session: str
) -> None:
    """With another one, a column could not be compared with the result of a CAST."""
    strange.run(
        f"CREATE DATABASE collated CHARACTER SET {database}",
        "GRANT ALL ON collated.* TO pyserver",
        "CREATE TABLE collated.names (name VARCHAR(9))",
        "INSERT INTO collated.names VALUES ('a')",
    )
    try:
        set_mysql(monkeypatch, database="collated")
        assert mysql.value("SELECT @@collation_connection") == session
        assert mysql.value("SELECT @@character_set_connection") == "utf8mb4"
        assert mysql.value("SELECT name FROM names WHERE name = CAST(%s AS CHAR)", "a") == "a"
        assert mysql.value("SELECT '😀é' = %s", "😀é") == 1
    finally:
        strange.run("DROP DATABASE collated")


def test_what_a_column_cannot_hold_is_refused(strange: MariaDB) -> None:
    """A mode that is not strict would cut it, or store a zero."""
    strange.run("USE pyserver", "DROP TABLE IF EXISTS few", "CREATE TABLE few (a CHAR(2), b DATE)")
    for row in [("abc", None), ("a", "0000-00-00"), ("a", "2026-02-30"), ("a", "x")]:
        with pytest.raises(StatementError):
            mysql.execute("INSERT INTO few VALUES (%s, %s)", *row)
    with pytest.raises(StatementError):
        mysql.execute("INSERT INTO few VALUES (1 / 0, NULL)")
    assert mysql.value("SELECT COUNT(*) FROM few") == 0


def test_a_write_is_committed_and_a_backslash_stored(strange: MariaDB) -> None:
    mysql.execute("UPDATE accounts SET cents = 1 WHERE %s = %s", "\\'", "\\'")
    assert cents(strange) == [1, 1]


def test_a_login_takes_two_statements(accounts: MariaDB) -> None:
    def log_in() -> None:
        close_idle()
        mysql.value("SELECT 1")

    assert round_trips(accounts, log_in) == 2 + 1


@pytest.mark.parametrize("lock", ["SELECT * FROM accounts FOR UPDATE", "LOCK TABLE accounts WRITE"])
def test_a_statement_that_waits_for_a_lock_ends_also_where_no_kill_reaches_it(
    accounts: MariaDB, mysql_proxy: Proxy, lock: str
) -> None:
    socket = str(accounts.socket)
    with pymysql.connect(unix_socket=socket, user=accounts.user, database="pyserver") as other:
        other.cursor().execute(lock)
        update = gevent.spawn(mysql.execute, "UPDATE accounts SET cents = 0")
        wait_until(lambda: connections(accounts, "info LIKE 'UPDATE%'"))
        mysql_proxy.hang()
        update.kill(gevent.Timeout())
        wait_until(lambda: not connections(accounts, "info LIKE 'UPDATE%'"))
    assert cents(accounts) == [100, 100]
    mysql_proxy.go_on()
    wait_until(lambda: in_use() == 0)


def test_a_gateway_without_some_of_the_variables_is_used_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session.warn_once.cache_clear()
    received = []

    def answer(wire: Wire) -> None:
        received.append(wire.received[-1])
        unknown = any(name in received[-1] for name in (b"lock_wait", b"time_zone", b"@@hostname"))
        error = b"\xff" + struct.pack("<H", 1193) + b"#HY000Unknown system variable"
        wire.send(error if unknown else OK)

    with rogue_mysql(query=answer) as server:
        set_mysql(monkeypatch, port=server.port)
        for _ in range(3):
            mysql.execute("DO 1")
            close_idle()
    assert sum(b"DO 1" in packet for packet in received) == 3
    assert [record.args for record in caplog.records] == [
        ("time_zone",),
        ("lock_wait_timeout",),
        ("innodb_lock_wait_timeout",),
        ("its name",),
    ]
    for assignment in (b"SET NAMES utf8mb4", b"SET autocommit = 1", b"SET sql_mode = 'TRADITIONAL"):
        assert any(assignment in packet for packet in received)
