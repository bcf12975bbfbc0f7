"""`sh run.sh dev`: its own MariaDB and Redis, kept in .dev, gone at the end."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.dev import Dev
from tests.support.processes import processes_in
from tests.support.service import Service
from utils.dev.servers import MariaDB, Redis


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_all_that_it_started(dev: Dev, number: int) -> None:
    dev.stop(number)
    assert dev.printed().endswith("all has stopped\n")
    assert dev.service.sh("status").returncode == 3


def test_the_next_dev_finds_the_data(counting: Service, make_dev: Callable[[], Dev]) -> None:
    for number in (1, 2):
        dev = make_dev()
        dev.await_line("pyserver is up")
        assert counting.request("/count")[1]["data"] == number
        dev.stop()


def test_the_next_dev_replaces_what_a_killed_one_left(
    counting: Service, make_dev: Callable[[], Dev]
) -> None:
    dev = make_dev()
    dev.await_line("pyserver is up")
    counting.request("/count")
    dev.process.kill()
    dev.process.wait()
    left = processes_in(counting.root)
    for program in ("mariadbd", "redis-server", "gunicorn"):
        assert program in " ".join(left.values())
    dev = make_dev()
    dev.await_line("pyserver is up")
    assert not left.keys() & processes_in(counting.root).keys()
    assert counting.request("/count")[1]["data"] == 2
    dev.stop()


def test_servers_that_are_configured_are_used_and_left_as_they_are(
    counting: Service, mariadb: MariaDB, redis_server: Redis, make_dev: Callable[[], Dev]
) -> None:
    mariadb.run("CREATE DATABASE dev", "GRANT ALL ON dev.* TO pyserver")
    settings = {**mariadb.env(), "MYSQL_DATABASE": "dev", **redis_server.env()}
    lines = [f"{name}={value}\n" for name, value in settings.items()]
    (counting.root / ".env").write_text("".join(lines))
    dev = make_dev()
    dev.await_line("pyserver is up")
    assert not {"mariadbd", "redis-server"} & {
        Path(command.split()[0]).name for command in processes_in(counting.root).values()
    }
    assert counting.request("/count")[1]["err_code"] == -1  # no table was made
    assert mariadb.run("SHOW TABLES FROM dev") == []


def test_a_configured_mysql_goes_before_that_of_dev(
    counting: Service, dev: Dev, mariadb: MariaDB
) -> None:
    mariadb.run("CREATE DATABASE other", "GRANT ALL ON other.* TO pyserver")
    counting.env.update(mariadb.env(), MYSQL_DATABASE="other")
    assert "pending 9000_create_calls.sql" in counting.sh("migrate", "status").stdout


def test_migrate_says_that_a_killed_dev_is_gone(counting: Service, dev: Dev) -> None:
    dev.process.kill()
    dev.process.wait()
    done = counting.sh("migrate", "status")
    assert done.returncode == 1
    assert done.stderr == "MYSQL_HOST is not set, and sh run.sh dev is not running\n"
