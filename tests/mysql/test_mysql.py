"""MySQL: the verbs, the pool's bounds, and what becomes of a connection when things go wrong."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import gevent
import pymysql
import pytest
from gevent.server import StreamServer
from msgspec import Struct, structs

from conf.current import settings
from tests.support.proxy import Proxy
from tests.support.service import certify, wait_until
from utils.dev.servers import MariaDB
from utils.errors import UnavailableError
from utils.mysql import connection as mysql_connection
from utils.mysql import pool as mysql_pool
from utils.mysql.connection import Connection
from utils.mysql.pool import pool
from utils.mysql.queries import Done, Transaction, mysql, send


class Account(Struct):
    """A row of the table that the tests use."""

    id: int
    cents: int
    open: bool


@pytest.fixture
def accounts(mariadb: MariaDB, mysql_proxy: Proxy) -> Iterator[MariaDB]:
    """A table with two accounts, and a pool of its own for each test."""
    mariadb.run(
        "CREATE OR REPLACE TABLE pyserver.accounts"
        " (id INT PRIMARY KEY AUTO_INCREMENT, cents INT NOT NULL, open BOOL DEFAULT 1)",
        "INSERT INTO pyserver.accounts (id, cents) VALUES (1, 100), (2, 100)",
    )
    mysql_pool.pools.clear()
    yield mariadb
    mysql_proxy.go_on()
    wait_until(lambda: in_use() == 0)


def in_use() -> int:
    """Return how many connections of the pool are lent."""
    return settings.mysql.pool_size - int(mysql_pool.pool().slots.counter)


def connections(server: MariaDB, what: str = "1") -> list[dict[str, Any]]:
    """Return the service's connections that the server has, or those of them that are so."""
    return server.run(
        f"SELECT * FROM information_schema.processlist WHERE user = 'pyserver' AND {what}"
    )


def cents(server: MariaDB) -> list[int]:
    return [row["cents"] for row in server.run("SELECT cents FROM pyserver.accounts ORDER BY id")]


def kill_all(server: MariaDB) -> None:
    for connection in connections(server):
        with suppress(pymysql.err.OperationalError):  # it may have ended by itself
            server.run(f"KILL {connection['ID']}")


def round_trips(server: MariaDB, work: Callable[[], Any]) -> int:
    """Return how many round trips a piece of work takes, as the server counts them."""

    def questions() -> int:
        (row,) = server.run("SHOW GLOBAL STATUS LIKE 'Questions'")
        return int(row["Value"])

    counts = [questions(), questions()]
    work()
    return questions() - counts[1] - (counts[1] - counts[0])


def test_the_verbs(accounts: MariaDB) -> None:
    assert mysql.row("SELECT * FROM accounts WHERE id = %s", 1) == {
        "id": 1,
        "cents": 100,
        "open": 1,
    }
    assert mysql.row("SELECT * FROM accounts WHERE id = %s", 9) is None
    assert mysql.row("SELECT * FROM accounts WHERE id = %s", 1, into=Account) == Account(
        1, 100, True
    )
    assert mysql.rows("SELECT id FROM accounts ORDER BY id") == [{"id": 1}, {"id": 2}]
    assert [a.id for a in mysql.rows("SELECT * FROM accounts", into=Account)] == [1, 2]
    assert mysql.value("SELECT SUM(cents) FROM accounts") == Decimal(200)
    assert mysql.value("SELECT cents FROM accounts WHERE id = %s", 9) is None
    assert mysql.execute("INSERT INTO accounts (cents) VALUES (%s)", 5) == Done(1, 3)
    assert mysql.execute("UPDATE accounts SET cents = 7") == Done(3, 0)
    assert mysql.execute_many("INSERT INTO accounts (cents) VALUES (%s)", [(1,), (2,)]) == 2
    assert mysql.execute_many("INSERT INTO accounts (cents) VALUES (%s)", []) == 0
    assert mysql.value("SELECT '100%%' = %s", "100%") == 1
    assert mysql.value("SELECT '100%'") == "100%"
    assert (
        mysql.value("SELECT %s", "'; DROP TABLE accounts; -- 😀") == "'; DROP TABLE accounts; -- 😀"
    )


def test_values_that_do_not_fit_are_a_mistake_and_cost_no_connection(accounts: MariaDB) -> None:
    used = mysql.value("SELECT CONNECTION_ID()")
    for values in [(), (1,), (1, 2, 3), (1, float("nan"))]:
        with pytest.raises(pymysql.err.ProgrammingError):
            mysql.execute("UPDATE accounts SET cents = %s WHERE id = %s", *values)
        with pytest.raises(pymysql.err.ProgrammingError):
            mysql.execute_many("UPDATE accounts SET cents = %s WHERE id = %s", [(0, 1), values])
    assert mysql.value("SELECT CONNECTION_ID()") == used
    assert cents(accounts) == [100, 100]


def test_a_statement_that_is_too_large_is_told_and_its_connection_left(accounts: MariaDB) -> None:
    with pool().connection() as connection:
        with pytest.raises(pymysql.err.OperationalError, match="1153"):
            send(connection, "SELECT LENGTH(%s)", ["x" * 17_000_000])
        assert not connection.open


def test_a_statement_is_one_round_trip(accounts: MariaDB) -> None:
    def read() -> None:
        mysql.row("SELECT * FROM accounts WHERE id = %s", 1)

    def transfer() -> None:
        with mysql.transaction() as tx:
            tx.execute("UPDATE accounts SET cents = 0 WHERE id = 1")

    read()
    assert round_trips(accounts, read) == 1
    assert round_trips(accounts, transfer) == 3


def test_a_transaction_is_whole_or_nothing(accounts: MariaDB) -> None:
    with mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = cents - 30 WHERE id = %s", 1)
        tx.execute("UPDATE accounts SET cents = cents + 30 WHERE id = %s", 2)
    assert cents(accounts) == [70, 130]
    with pytest.raises(RuntimeError):
        tx.execute("UPDATE accounts SET cents = 0")
    for fault in (ValueError, gevent.Timeout, gevent.GreenletExit):
        with pytest.raises(fault), mysql.transaction() as tx:
            tx.execute("UPDATE accounts SET cents = 0")
            raise fault
        with pytest.raises(RuntimeError):
            tx.execute("UPDATE accounts SET cents = 0")
    with pytest.raises(pymysql.err.IntegrityError), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 0")
        tx.execute("INSERT INTO accounts (id, cents) VALUES (1, 1)")
    assert cents(accounts) == [70, 130]
    with pytest.raises(RuntimeError):
        tx.execute("UPDATE accounts SET cents = 0")


def test_a_transaction_whose_connection_dies_between_its_statements_does_nothing(
    accounts: MariaDB,
) -> None:
    with pytest.raises(UnavailableError), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = cents - 30 WHERE id = 1")
        kill_all(accounts)
        tx.execute("UPDATE accounts SET cents = cents + 30 WHERE id = 2")
    assert cents(accounts) == [100, 100]


def test_a_transaction_that_lost_a_deadlock_cannot_go_on(accounts: MariaDB) -> None:
    def swap(tx: Transaction, first: int, second: int, both: threading.Barrier) -> None:
        tx.execute("UPDATE accounts SET cents = cents + 1 WHERE id = %s", first)
        both.wait()
        with suppress(UnavailableError):
            tx.execute("UPDATE accounts SET cents = cents + 1 WHERE id = %s", second)
        tx.execute("INSERT INTO accounts (cents) VALUES (0)")

    assert deadlock(swap) == ["MySQL is not available", None]
    assert cents(accounts) == [101, 101, 0]


def test_who_loses_a_deadlock_is_refused_and_the_other_one_is_not(accounts: MariaDB) -> None:
    def swap(tx: Transaction, first: int, second: int, both: threading.Barrier) -> None:
        tx.execute("UPDATE accounts SET cents = cents + 1 WHERE id = %s", first)
        both.wait()
        tx.execute("UPDATE accounts SET cents = cents + 1 WHERE id = %s", second)

    assert deadlock(swap) == ["MySQL is not available", None]
    assert cents(accounts) == [101, 101]


def deadlock(work: Callable[[Transaction, int, int, threading.Barrier], None]) -> list[Any]:
    """Have two transactions work crosswise; return what the loser is refused with, and None."""
    both = threading.Barrier(2)

    def run(first: int, second: int) -> str | None:
        try:
            with mysql.transaction() as tx:
                work(tx, first, second, both)
        except UnavailableError as error:
            return str(error)
        return None

    calls = [gevent.spawn(run, 1, 2), gevent.spawn(run, 2, 1)]
    gevent.joinall(calls, raise_error=True)
    return sorted((call.value for call in calls), key=str)


def test_greenlets_that_share_a_transaction_take_turns(accounts: MariaDB) -> None:
    with mysql.transaction() as tx:
        calls = [gevent.spawn(tx.value, "SELECT SLEEP(0.02) + %s", n) for n in range(5)]
        gevent.joinall(calls, raise_error=True)
        late = gevent.spawn(tx.value, "SELECT 5")
    assert [call.value for call in calls] == list(range(5))
    with pytest.raises(RuntimeError):
        late.get()


def test_a_transaction_is_cut_while_another_greenlet_uses_it(accounts: MariaDB) -> None:
    with gevent.Timeout(0.1, False), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 0")
        call = gevent.spawn(refused, tx.value, "SELECT SLEEP(9)")
        call.join()
    assert call.get(timeout=0.5) == "MySQL is not available"
    wait_until(lambda: in_use() == 0)
    wait_until(lambda: not connections(accounts, "info LIKE 'SELECT SLEEP%'"))
    assert cents(accounts) == [100, 100]


def test_a_fault_inside_a_transaction_is_told_also_if_the_connection_died(
    accounts: MariaDB,
) -> None:
    with pytest.raises(ZeroDivisionError), mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = 0")
        kill_all(accounts)
        raise ZeroDivisionError
    assert cents(accounts) == [100, 100]


@pytest.mark.parametrize("sql", ["ALTER TABLE accounts ADD name TEXT", "COMMIT"])
def test_a_statement_that_would_end_a_transaction_is_refused(accounts: MariaDB, sql: str) -> None:
    with pytest.raises(RuntimeError, match=f"for it ends one: {sql}"), mysql.transaction() as tx:
        tx.execute(sql)
        tx.execute("UPDATE accounts SET cents = 0")
    assert cents(accounts) == [100, 100]


def test_many_rows_are_written_whole_or_not_at_all(accounts: MariaDB) -> None:
    rows = [(i, "x" * 1000) for i in range(3, 3000)]
    mysql.execute("ALTER TABLE accounts ADD text TEXT")
    with pytest.raises(pymysql.err.IntegrityError):
        mysql.execute_many(
            "INSERT INTO accounts (id, cents, text) VALUES (%s, 0, %s)", [*rows, (1, "")]
        )
    assert mysql.value("SELECT COUNT(*) FROM accounts") == 2
    assert mysql.execute_many("INSERT INTO accounts (id, cents, text) VALUES (%s, 0, %s)", rows)
    assert mysql.value("SELECT COUNT(*) FROM accounts") == 2 + len(rows)


def test_a_transaction_left_open_never_reaches_the_next_request(accounts: MariaDB) -> None:
    mysql.execute("START TRANSACTION")
    wait_until(lambda: in_use() == 0)
    mysql.execute("UPDATE accounts SET cents = 1")
    assert cents(accounts) == [1, 1]


def test_a_session_without_autocommit_never_reaches_the_next_request(accounts: MariaDB) -> None:
    mysql.execute("SET autocommit = 0")
    mysql.execute("UPDATE accounts SET cents = 1")
    assert cents(accounts) == [1, 1]


def test_a_procedure_answers_and_fails_in_its_own_request(accounts: MariaDB) -> None:
    mysql.execute(
        "CREATE OR REPLACE PROCEDURE add_account(number INT) BEGIN"
        " SELECT number; INSERT INTO accounts (id, cents) VALUES (number, 1); SELECT 1; END"
    )
    assert mysql.rows("CALL add_account(%s)", 7) == [{"number": 7}]
    assert cents(accounts) == [100, 100, 1]
    with pytest.raises(pymysql.err.IntegrityError):
        mysql.rows("CALL add_account(%s)", 7)
    assert mysql.value("SELECT 2") == 2


def test_killed_connections_are_replaced_before_anyone_notices(
    accounts: MariaDB, mysql_proxy: Proxy
) -> None:
    gevent.joinall([gevent.spawn(mysql.value, "SELECT SLEEP(0.05)") for _ in range(4)])
    assert len(connections(accounts)) == 4
    kill_all(accounts)
    wait_until(lambda: not mysql_proxy.connections)
    for number in range(50):
        assert mysql.value("SELECT %s", number) == number


def test_a_write_that_times_out_is_not_sent_again(accounts: MariaDB) -> None:
    with pytest.raises(UnavailableError):
        mysql.execute("INSERT INTO accounts (cents) SELECT SLEEP(%s)", 1.5)
    wait_until(lambda: not connections(accounts, "info LIKE '%SLEEP%'"))
    assert len(cents(accounts)) == 2


def test_the_server_itself_ends_what_takes_too_long(accounts: MariaDB) -> None:
    assert mysql.value("SELECT @@max_statement_time") == settings.mysql.read_timeout


@pytest.mark.parametrize("cut", [gevent.Timeout(0.1), gevent.GreenletExit()])
def test_a_statement_that_is_cut_is_ended_at_the_server_too(
    accounts: MariaDB, cut: BaseException
) -> None:
    greenlet = gevent.spawn(mysql.value, "SELECT SLEEP(%s)", 50)
    wait_until(lambda: connections(accounts, "info LIKE 'SELECT SLEEP%'"))
    greenlet.kill(cut)
    wait_until(lambda: not connections(accounts, "info LIKE 'SELECT SLEEP%'"), seconds=0.5)
    wait_until(lambda: in_use() == 0)
    assert mysql.value("SELECT 1") == 1


def test_nothing_is_killed_at_another_server(accounts: MariaDB) -> None:
    mysql.value("SELECT 1")
    with pool().connection() as connection:
        connection.server = ("another behind the same address", 3306)
    with gevent.Timeout(0.1, False):
        mysql.value("SELECT SLEEP(%s)", 0.5)
    wait_until(lambda: in_use() == 0)
    assert connections(accounts, "info LIKE 'SELECT SLEEP%'")


def test_a_half_sent_statement_never_goes_back_to_the_pool(
    accounts: MariaDB, mysql_proxy: Proxy
) -> None:
    mysql.value("SELECT 1")
    mysql_proxy.hang()
    with gevent.Timeout(0.2, False):
        mysql.value("SELECT LENGTH(%s)", "x" * 10_000_000)
    mysql_proxy.go_on()
    wait_until(lambda: in_use() == 0)
    assert mysql.value("SELECT 2") == 2


def test_who_finds_no_free_connection_is_refused_in_time(accounts: MariaDB) -> None:
    busy = [gevent.spawn(mysql.value, "SELECT SLEEP(0.9)") for _ in range(4)]
    wait_until(lambda: in_use() == 4)
    seconds = []

    def wait() -> None:
        started = time.monotonic()
        assert refused(mysql.value, "SELECT 1") == "MySQL is busy"
        seconds.append(time.monotonic() - started)

    waiters = [gevent.spawn(wait) for _ in range(12)]
    gevent.joinall([*busy, *waiters], raise_error=True)
    assert len(seconds) == 12
    assert min(seconds) > settings.mysql.pool_timeout - 0.01
    assert max(seconds) < settings.mysql.pool_timeout + 0.1
    assert len(connections(accounts)) == 4


def test_who_waits_for_a_connection_is_before_who_has_had_one(accounts: MariaDB) -> None:
    def insist() -> None:
        while True:
            mysql.value("SELECT SLEEP(0.01)")

    busy = [gevent.spawn(insist) for _ in range(4)]
    wait_until(lambda: in_use() == 4)
    for _ in range(10):
        assert mysql.value("SELECT 1") == 1
    gevent.killall(busy)


def test_a_connection_that_cannot_be_set_up_is_not_pooled(
    accounts: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Connection) -> None:
        self.query("SET SESSION no_such_variable = 1")

    monkeypatch.setattr(Connection, "limit_statements", fail)
    for _ in range(settings.mysql.pool_size + 1):
        assert refused(mysql.value, "SELECT 1") == "MySQL is not available"


def test_a_server_that_became_read_only_is_left(accounts: MariaDB) -> None:
    first = mysql.value("SELECT CONNECTION_ID()")
    accounts.run("SET GLOBAL read_only = 1")
    try:
        assert refused(mysql.execute, "UPDATE accounts SET cents = 0") == "MySQL is not available"
    finally:
        accounts.run("SET GLOBAL read_only = 0")
    assert mysql.value("SELECT CONNECTION_ID()") != first


def refused(call: Callable[..., Any], *arguments: Any) -> str:
    """Call, and return what it refuses with."""
    with pytest.raises(UnavailableError) as caught:
        call(*arguments)
    return str(caught.value)


def test_a_hung_server_is_waited_for_in_parallel(accounts: MariaDB, mysql_proxy: Proxy) -> None:
    mysql_proxy.hang()
    started = time.monotonic()
    calls = [gevent.spawn(refused, mysql.value, "SELECT 1") for _ in range(4)]
    gevent.joinall(calls)
    assert [call.value for call in calls] == ["MySQL is not available"] * 4
    assert time.monotonic() - started < settings.mysql.connect_timeout * 2


def test_a_host_of_many_addresses_that_hang_is_waited_for_once(
    accounts: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fill = [socket.socket() for _ in range(3)]
        for sock in fill:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        addresses = [
            (socket.AF_INET, kind, 0, "", full.getsockname()) for kind in [socket.SOCK_STREAM] * 3
        ]
        found = socket.create_connection.__globals__
        monkeypatch.setitem(found, "getaddrinfo", lambda *_: addresses)
        started = time.monotonic()
        assert refused(mysql.value, "SELECT 1") == "MySQL is not available"
        seconds = time.monotonic() - started
        for sock in fill:
            sock.close()
    limit = settings.mysql.connect_timeout
    assert limit - 0.01 < seconds < limit + 0.1


def test_what_speaks_another_protocol_is_not_available(
    accounts: MariaDB, mysql_proxy: Proxy
) -> None:
    mysql_proxy.close()
    address = ("127.0.0.1", mysql_proxy.port)
    other = StreamServer(address, lambda sock, _: sock.send(b"\x05\0\0\0HTTP?"))
    other.start()
    assert refused(mysql.value, "SELECT 1") == "MySQL is not available"
    other.stop()
    mysql_proxy.open()
    assert mysql.value("SELECT 1") == 1


def test_a_pool_belongs_to_its_process(accounts: MariaDB) -> None:
    mysql.value("SELECT 1")
    mine = mysql.value("SELECT CONNECTION_ID()")
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writer, str(mysql.value("SELECT CONNECTION_ID()")).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert int(os.read(reader, 20)) != mine
    assert mysql.value("SELECT CONNECTION_ID()") == mine


class SecureMariaDB(MariaDB):
    """A MariaDB with a certificate for 127.0.0.1, and users that have to encrypt."""

    def prepare(self) -> None:
        super().prepare()
        self.certificate, self.key = certify(self.folder)

    def command(self) -> list[str]:
        own = [f"--ssl-cert={self.certificate}", f"--ssl-key={self.key}"]
        return [*super().command(), *own, "--require-secure-transport=ON"]


@pytest.mark.parametrize(
    ("tls", "trusted", "fits"),
    [("off", True, False), ("on", False, True), ("verify", True, True), ("verify", False, False)],
)
def test_tls_is_what_the_setting_says(
    secure: SecureMariaDB, monkeypatch: pytest.MonkeyPatch, tls: Any, trusted: bool, fits: bool
) -> None:
    ca = str(secure.certificate) if trusted else ""
    changed = structs.replace(settings.mysql, port=secure.port, tls=tls, tls_ca=ca)
    monkeypatch.setattr(mysql_connection, "settings", structs.replace(settings, mysql=changed))
    monkeypatch.setattr(mysql_connection, "tls_context", mysql_connection.tls_context.__wrapped__)
    monkeypatch.setattr(mysql_pool, "pools", {})
    if fits:
        cipher = mysql.row("SHOW STATUS LIKE 'Ssl_cipher'")
        assert cipher
        assert cipher["Value"]
    else:
        assert refused(mysql.value, "SELECT 1") == "MySQL is not available"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureMariaDB]:
    server = SecureMariaDB(tmp_path_factory.mktemp("tls"))
    server.start()
    yield server
    server.stop()


def test_a_statement_is_logged_without_its_values(
    accounts: MariaDB, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="pyserver")
    mysql.row("SELECT * FROM accounts WHERE id = %s", 987654321)
    with pytest.raises(pymysql.err.IntegrityError) as caught:
        mysql.execute("INSERT INTO accounts (id, cents) VALUES (%s, 1)", 1)
    with pytest.raises(pymysql.err.MySQLError) as other:
        mysql.execute("UPDATE accounts SET cents = %s", "hunter2")
    with suppress(pymysql.err.MySQLError):
        mysql.value("SELECT hunter2 %s", "hunter2")
    assert "mysql " in caplog.text
    assert "SELECT * FROM accounts WHERE id = %s" in caplog.text
    assert "987654321" not in caplog.text
    assert str(caught.value) == "(1062, \"Duplicate entry '...'\")"
    assert "hunter2" not in str(other.value)


def test_a_slow_statement_is_logged_as_a_warning(
    accounts: MariaDB, caplog: pytest.LogCaptureFixture
) -> None:
    mysql.value("SELECT SLEEP(0.6)")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "SELECT SLEEP(0.6)" in caplog.text
