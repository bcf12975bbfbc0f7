"""Drills: no statement is lost, doubled or mixed while connections are reset, hung, killed, cut."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import gevent
import pytest
from gevent.pool import Pool as Greenlets

from conf.current import settings
from tests.support.mysql import close_idle, connections, in_use, kill_all, numbers
from tests.support.proxy import Proxy
from tests.support.service import wait_until
from utils.dev.servers import MariaDB
from utils.errors import UnavailableError
from utils.mysql import mysql

WRITE = "INSERT INTO ledger (id, debit, credit, cents) VALUES (%s, %s, %s, %s)"
SUM = "SELECT SUM(cents) AS cents FROM pyserver.accounts"
BOOKED = (
    "SELECT a.id, a.cents, (SELECT COALESCE(SUM(IF(l.credit = a.id, l.cents, -l.cents)), 0)"
    " FROM pyserver.ledger l WHERE a.id IN (l.debit, l.credit)) AS booked"
    " FROM pyserver.accounts a"
)


@pytest.fixture
def ledger(mariadb: MariaDB) -> MariaDB:
    """Ten accounts with nothing in them, and an empty ledger, whose ids may double."""
    mariadb.run(
        "USE pyserver",
        "DROP TABLE IF EXISTS accounts, ledger",
        "CREATE TABLE accounts (id INT PRIMARY KEY, cents BIGINT NOT NULL)",
        f"INSERT INTO accounts SELECT n, 0 FROM {numbers(10)}",
        "CREATE TABLE ledger (id INT, debit INT, credit INT, cents INT, KEY (id))",
    )
    close_idle()
    return mariadb


def transfer(number: int) -> None:
    """Move money between two accounts, and write that into the ledger."""
    debit, credit = random.sample(range(1, 11), 2)
    with mysql.transaction() as tx:
        for account, cents in sorted([(debit, -number), (credit, number)]):
            tx.execute("UPDATE accounts SET cents = cents + %s WHERE id = %s", cents, account)
        tx.execute(WRITE, number, debit, credit, number)


@contextmanager
def trouble(server: MariaDB, proxy: Proxy) -> Iterator[None]:
    """Kill, hang and reset connections inside the block; at no moment is money lost."""

    def make_trouble() -> None:
        while True:
            gevent.sleep(random.uniform(0, 0.1))
            match random.randrange(3):
                case 0:
                    kill_all(server)
                case 1:
                    proxy.hang()
                    gevent.sleep(1.2 if random.random() < 0.1 else 0.02)
                    proxy.go_on()
                case 2:
                    proxy.reset(*list(proxy.connections))
            assert server.run(SUM)[0]["cents"] == 0

    proxy.resets = 0.002
    troublemaker = gevent.spawn(make_trouble)
    try:
        yield
    finally:
        troublemaker.kill()
        proxy.resets = 0.0
    assert not troublemaker.exception


def test_the_ledger_is_right_under_resets_hangs_and_kills(
    ledger: MariaDB, mysql_proxy: Proxy
) -> None:
    acknowledged: set[int] = set()

    def work(number: int) -> None:
        with suppress(UnavailableError):
            if number % 2:
                transfer(number)
            else:
                mysql.execute(WRITE, number, 0, 0, 0)
            acknowledged.add(number)

    with trouble(ledger, mysql_proxy):
        Greenlets(12).map(work, range(1000))
    wait_until(lambda: in_use() == 0)
    written = Counter(row["id"] for row in ledger.run("SELECT id FROM pyserver.ledger"))
    assert acknowledged - set(written) == set()
    assert [number for number, times in written.items() if times > 1] == []
    assert 100 < len(acknowledged) < 1000
    assert all(row["cents"] == row["booked"] for row in ledger.run(BOOKED))


def echoed(number: int) -> int:
    """Return the number by way of MySQL: slowly, or beside a value of many packets."""
    if number % 2:
        return int(mysql.value("SELECT %s FROM (SELECT SLEEP(0.01)) t", number))
    row = mysql.row("SELECT %s AS n, %s AS x", number, "x" * 1_000_000)
    assert row
    return int(row["n"])


def test_requests_that_are_cut_mix_and_leak_nothing(mariadb: MariaDB, mysql_proxy: Proxy) -> None:
    close_idle()
    crossed, most = [], 0

    def work(number: int) -> None:
        cut = gevent.Timeout(random.uniform(0, 0.05), False)  # type: ignore[arg-type]  # documented
        with suppress(UnavailableError), cut:
            if echoed(number) != number:
                crossed.append(number)

    def watch() -> None:
        nonlocal most
        while True:
            most = max(most, len(connections(mariadb)))
            gevent.sleep(0.01)

    watcher = gevent.spawn(watch)
    greenlets = Greenlets(16)
    for number in range(1000):
        greenlet = greenlets.spawn(work, number)
        if number % 3 == 0:
            gevent.spawn_later(random.uniform(0, 0.03), greenlet.kill, block=False)
    greenlets.join()
    wait_until(lambda: in_use() == 0)
    watcher.kill()
    assert crossed == []
    assert most <= settings.mysql.pool_size + 1  # the one that kills
    wait_until(lambda: not connections(mariadb, "command = 'Query'"))
    assert [mysql.value("SELECT %s", number) for number in range(20)] == list(range(20))
