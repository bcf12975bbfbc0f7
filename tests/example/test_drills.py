"""The drills: what the pools promise, while their servers fail."""

import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import pymysql
import pytest
import redis
from gevent.pool import Pool as Greenlets

from conf.current import settings
from tests.example.test_orders import CREATE
from tests.support.mysql import close_idle, connections, in_use, kill_all
from tests.support.proxy import Proxy
from tests.support.service import Service, wait_until
from utils.dev.servers import MariaDB, Redis, free_port
from utils.errors import UnavailableError
from utils.mysql import mysql

READ_TIMEOUT = 1.0


@pytest.fixture
def proxy(mariadb: MariaDB) -> Iterator[Proxy]:
    """What stands between the service and MariaDB."""
    proxy = Proxy(free_port(), mariadb.port)
    yield proxy
    proxy.close()


@pytest.fixture
def orders(
    make_service: Callable[..., Service], mariadb: MariaDB, redis_server: Redis, proxy: Proxy
) -> Service:
    """A started service with ten orders."""
    insert = "INSERT INTO orders (item, quantity) SELECT 'tea', 1 FROM seq_1_to_10"
    mariadb.run("USE pyserver", "DROP TABLE IF EXISTS orders", CREATE, insert)
    with redis.Redis(port=redis_server.port) as client:
        client.flushdb()
    env = {
        **mariadb.env(),
        **redis_server.env(),
        "MYSQL_PORT": proxy.port,
        "MYSQL_POOL_SIZE": 10,
        "MYSQL_POOL_TIMEOUT": 0.4,
        "MYSQL_CONNECT_TIMEOUT": 0.5,
        "MYSQL_READ_TIMEOUT": READ_TIMEOUT,
    }
    return make_service(**env)


class Answer:
    """What became of one request."""

    def __init__(self, service: Service, *request: Any, **headers: str) -> None:
        self.started = time.monotonic()
        self.status, self.envelope, _ = service.request(*request, **headers)
        self.seconds = time.monotonic() - self.started

    @property
    def err_code(self) -> int:
        return int(self.envelope["err_code"])


def order(service: Service) -> Answer:
    return Answer(service, "/orders", '{"item":"mate"}')


def read(service: Service) -> Answer:
    return Answer(service, "/orders", None, "GET")


def load(
    clients: int, call: Callable[[], Answer], while_running: Callable[[], None]
) -> list[Answer]:
    """Have clients call again and again while something else runs; return all answers."""
    answers: list[Answer] = []
    stop = gevent.event.Event()

    def work() -> None:
        while not stop.is_set():
            answers.append(call())
            gevent.sleep(0.02)

    greenlets = [gevent.spawn(work) for _ in range(clients)]
    while_running()
    stop.set()
    gevent.joinall(greenlets, raise_error=True)
    return answers


def test_after_a_kill_of_every_connection_no_read_fails_and_no_write_doubles(
    orders: Service, mariadb: MariaDB
) -> None:
    orders.env["MYSQL_PORT"] = str(mariadb.port)
    orders.sh("start", check=True)
    for call in (read, order):
        Greenlets(20).map(lambda _, call=call: call(orders), range(40))
    before = mariadb.run("SELECT COUNT(*) AS n FROM pyserver.orders")[0]["n"]
    assert len(connections(mariadb)) > 1
    kill_all(mariadb)
    reads = Greenlets(20).map(lambda _: read(orders), range(100))
    assert Counter(answer.status for answer in reads) == {200: 100}
    kill_all(mariadb)
    writes = Greenlets(20).map(lambda _: order(orders), range(100))
    assert Counter(answer.status for answer in writes) == {201: 100}
    assert mariadb.run("SELECT COUNT(*) AS n FROM pyserver.orders")[0]["n"] == before + 100


def test_mysql_stopped_and_started_again(orders: Service, mariadb: MariaDB) -> None:
    orders.sh("start", check=True)
    workers, accepts = orders.workers(), 0.0

    def stop_and_start() -> None:
        nonlocal accepts
        gevent.sleep(0.5)
        mariadb.stop()
        gevent.sleep(3)
        mariadb.start()
        accepts = time.monotonic()
        gevent.sleep(1.5)

    answers = load(20, lambda: read(orders), stop_and_start)
    assert {answer.err_code for answer in answers} == {0, -5}
    assert max(answer.seconds for answer in answers) < 1
    good = [a.started + a.seconds for a in answers if a.status == 200]
    assert min(end for end in good if end > accepts - 1) < accepts + 1
    assert all(answer.status == 200 for answer in answers if answer.started > accepts + 1)
    assert orders.workers() == workers


def test_a_black_hole_delays_nobody_else(orders: Service, proxy: Proxy) -> None:
    orders.sh("start", check=True)

    def tests(seconds: float) -> list[float]:
        end, times = time.monotonic() + seconds, []
        while time.monotonic() < end:
            times.append(Answer(orders).seconds)
            gevent.sleep(0.01)
        return times

    back, during = 0.0, list[float]()

    def hole() -> None:
        nonlocal back, during
        gevent.sleep(0.5)
        proxy.hang()
        during = tests(5)
        proxy.go_on()
        back = time.monotonic()
        gevent.sleep(2.5)

    answers = load(50, lambda: read(orders), hole)
    assert max(answer.seconds for answer in answers) < READ_TIMEOUT + 0.5
    assert {answer.err_code for answer in answers} == {0, -5}
    assert all(answer.status == 200 for answer in answers if answer.started > back + 2)
    assert statistics.quantiles(during, n=100)[98] < 0.1


TRANSFER = "INSERT INTO ledger (id, debit, credit, cents) VALUES (%s, %s, %s, %s)"


def transfer(number: int) -> None:
    """Move money between two accounts, and say so in the ledger."""
    debit, credit = random.sample(range(1, 11), 2)
    with mysql.transaction() as tx:
        for account, cents in sorted([(debit, -number), (credit, number)]):
            tx.execute("UPDATE accounts SET cents = cents + %s WHERE id = %s", cents, account)
        tx.execute(TRANSFER, number, debit, credit, number)


def test_the_ledger_is_right_under_resets_stalls_and_kills(
    mariadb: MariaDB, mysql_proxy: Proxy
) -> None:
    mariadb.run(
        "USE pyserver",
        "CREATE OR REPLACE TABLE accounts (id INT PRIMARY KEY, cents BIGINT NOT NULL)",
        "INSERT INTO accounts SELECT seq, 0 FROM seq_1_to_10",
        "CREATE OR REPLACE TABLE ledger (id INT, debit INT, credit INT, cents INT, KEY (id))",
    )
    close_idle()
    acknowledged: set[int] = set()

    def work(number: int) -> None:
        with suppress(UnavailableError):
            if number % 2:
                transfer(number)
            else:
                mysql.execute(TRANSFER, number, 0, 0, 0)
            acknowledged.add(number)

    def trouble() -> None:
        while True:
            gevent.sleep(random.uniform(0, 0.1))
            match random.randrange(3):
                case 0:
                    kill_all(mariadb)
                case 1:
                    mysql_proxy.hang()
                    gevent.sleep(1.2 if random.random() < 0.1 else 0.02)
                    mysql_proxy.go_on()
                case 2:
                    mysql_proxy.reset(*list(mysql_proxy.connections))
            assert balance() == 0

    def balance() -> int:
        return int(mariadb.run("SELECT SUM(cents) AS cents FROM pyserver.accounts")[0]["cents"])

    mysql_proxy.resets = 0.002
    troublemaker = gevent.spawn(trouble)
    Greenlets(12).map(work, range(2000))
    troublemaker.kill()
    mysql_proxy.resets = 0.0
    wait_until(lambda: in_use() == 0)
    assert not troublemaker.exception
    written = Counter(row["id"] for row in mariadb.run("SELECT id FROM pyserver.ledger"))
    assert acknowledged - set(written) == set()
    assert [number for number, times in written.items() if times > 1] == []
    assert 200 < len(acknowledged) < 2000
    moved = mariadb.run(
        "SELECT a.id, a.cents, (SELECT COALESCE(SUM(IF(l.credit = a.id, l.cents, -l.cents)), 0)"
        " FROM pyserver.ledger l WHERE a.id IN (l.debit, l.credit)) AS booked"
        " FROM pyserver.accounts a"
    )
    assert all(row["cents"] == row["booked"] for row in moved)


def test_requests_that_are_cut_mix_and_leak_nothing(mariadb: MariaDB, mysql_proxy: Proxy) -> None:
    close_idle()
    crossed, most = [], 0

    def work(number: int) -> None:
        with suppress(UnavailableError), gevent.Timeout(random.uniform(0, 0.05), False):
            if number % 2:
                value = mysql.value("SELECT %s FROM (SELECT SLEEP(0.01)) t", number)
            else:
                value = mysql.row("SELECT %s AS n, %s AS x", number, "x" * 1_000_000)["n"]  # type: ignore[index]
            if value != number:
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
    wait_until(lambda: in_use() == 0, 5)
    watcher.kill()
    assert crossed == []
    assert most <= settings.mysql.pool_size + 1  # the one that kills
    wait_until(lambda: not connections(mariadb, "command = 'Query'"), 0.5)
    assert [mysql.value("SELECT %s", number) for number in range(20)] == list(range(20))


def test_a_deadline_is_kept_and_leaves_no_query_behind(orders: Service, mariadb: MariaDB) -> None:
    # Not SLEEP(): all of them share a mutex in the server, and a KILL of many takes seconds.
    orders.edit(
        "api.py",
        '"SELECT * FROM orders WHERE order_id >',
        "\"SELECT *, GET_LOCK('busy', 9) AS s FROM orders WHERE order_id >",
    )
    orders.sh("start", check=True)
    with pymysql.connect(unix_socket=f"{mariadb.folder}/socket", user="root") as connection:
        connection.query("SELECT GET_LOCK('busy', 0)")
        answers = Greenlets(10).map(
            lambda _: Answer(orders, "/orders", None, "GET", X_Request_Timeout_Ms="300"), range(30)
        )
        wait_until(lambda: not connections(mariadb, "info LIKE '%GET_LOCK%'"), 1)
    assert {(answer.status, answer.err_code) for answer in answers} == {(504, -6)}
    assert statistics.median(answer.seconds for answer in answers) < 0.3 + 0.05


def test_two_hundred_clients_on_a_cold_key_load_it_once(orders: Service) -> None:
    orders.env |= {"WORKERS": "4", "LOG_LEVEL": "DEBUG"}
    orders.edit("api.py", '"SELECT * FROM orders WHERE', '"SELECT *, SLEEP(0.3) FROM orders WHERE')
    orders.sh("start", check=True)
    answers = Greenlets(200).map(lambda _: Answer(orders, "/orders/7", None, "GET"), range(200))
    assert Counter(answer.status for answer in answers) == {200: 200}
    assert orders.log().count("SLEEP(0.3)") == 1


def selects(server: MariaDB) -> int:
    return int(server.run("SHOW GLOBAL STATUS LIKE 'Com_select'")[0]["Value"])


def test_redis_stopped_paused_and_back(orders: Service, tmp_path: Path, mariadb: MariaDB) -> None:
    server = Redis(tmp_path)
    server.start()
    orders.env.update(server.env(), WORKERS="1", REDIS_TIMEOUT="0.3")
    orders.sh("start", check=True)

    def show() -> Answer:
        answer = Answer(orders, "/orders/7", None, "GET")
        assert answer.status == 200
        return answer

    def is_cached() -> bool:
        before = selects(mariadb)
        show()
        return selects(mariadb) == before

    plain = statistics.median(read(orders).seconds for _ in range(20))
    show()
    assert is_cached()
    server.stop()
    assert max(show().seconds for _ in range(50)) < plain + 0.05
    server.start()
    wait_until(is_cached, 2)
    server.send(signal.SIGSTOP)
    paused = [show().seconds for _ in range(50)]
    assert paused[0] < plain + 0.3 + 0.05
    assert max(paused[1:]) < plain + 0.05
    server.send(signal.SIGCONT)
    wait_until(is_cached, 2)
    server.stop()
