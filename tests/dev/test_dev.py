"""`sh run.sh dev`: up with its own servers, reloaded at each save, gone at the end."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.service import Service, wait_until
from utils.dev.commands import require
from utils.dev.servers import MariaDB, Redis


class Dev:
    """A `sh run.sh dev`, and what it prints."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.file = service.folder / "terminal"
        with self.file.open("w") as file:
            self.process = subprocess.Popen(
                ["sh", "run.sh", "dev"],
                cwd=service.root,
                env=service.env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def await_line(self, words: str, times: int = 1) -> None:
        """Wait until it has printed that so often."""
        try:
            wait_until(lambda: self.printed().count(words) >= times)
        except AssertionError:
            raise AssertionError(f"{words!r} is not in:\n{self.printed()}") from None

    def printed(self) -> str:
        return self.file.read_text()

    def stop(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)
        assert self.process.wait(20) == 0, self.printed()
        assert processes(self.service) == {}


def processes(service: Service) -> dict[int, str]:
    """Return the processes that work in the copy, by pid."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(service.root) in str((path / "cwd").readlink()):
                found[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


@pytest.fixture
def make_dev(service: Service) -> Iterator[Callable[[], Dev]]:
    yield lambda: Dev(service)
    for pid in processes(service):
        os.kill(pid, signal.SIGKILL)


COUNT = (
    "from utils.mysql import mysql; "
    'mysql.execute("INSERT INTO calls VALUES ()"); '
    'return Envelope(request.uuid, {}, mysql.value("SELECT COUNT(*) FROM calls"))'
)


@pytest.fixture
def counting(service: Service) -> Service:
    """A copy with a table, and a route that adds a row and tells how many there are."""
    sql = "CREATE TABLE calls (id INT AUTO_INCREMENT PRIMARY KEY)"
    (service.root / "conf/migrations/9000_create_calls.sql").write_text(sql)
    service.add_route("count", COUNT)
    return service


def result(service: Service) -> int:
    try:
        return int(service.request()[1]["data"]["result"])
    except OSError:
        return -2


def test_every_save_is_served_and_what_does_not_load_is_shown(
    service: Service, make_dev: Callable[[], Dev]
) -> None:
    service.edit("server.py", "class Server(", "class Server((")
    dev = make_dev()
    dev.await_line("SyntaxError")
    dev.await_line("pyserver does not run; the next save starts it again")
    (service.root / ".env").write_text("KEEPALIVE=many\n")
    service.edit("server.py", "class Server((", "class Server(")
    dev.await_line("KEEPALIVE='many': expected an integer")
    (service.root / ".env").write_text("")
    dev.await_line(f"pyserver is up at http://127.0.0.1:{service.port} (pid ")
    curl = dev.printed().split("; try\n")[1].splitlines()[0]
    subprocess.run(curl, shell=True, check=True, capture_output=True)
    dev.await_line("POST /test 200")
    service.edit("api.py", "random.choice((-1, 0, 1))", "77")
    wait_until(lambda: result(service) == 77)
    dev.await_line("pyserver has reloaded")
    refused = dev.printed().count("SyntaxError")
    service.edit("api.py", "=77)", "=78")
    dev.await_line("SyntaxError", refused + 1)
    assert result(service) == 77
    service.edit("api.py", "=78", "=78)")
    wait_until(lambda: result(service) == 78)
    (service.root / "conf/migrations/9000_create_b.sql").write_text("CREATE TABLE b (i INT)")
    dev.await_line("applied 9000_create_b.sql")
    dev.stop()


def test_the_next_dev_finds_the_data_also_after_a_kill(
    counting: Service, make_dev: Callable[[], Dev]
) -> None:
    for number, end in enumerate((signal.SIGKILL, signal.SIGTERM), 1):
        dev = make_dev()
        dev.await_line("pyserver is up")
        assert counting.request("/count")[1]["data"] == number
        running = " ".join(processes(counting).values())
        for program in ("mariadbd", "redis-server", "gunicorn"):
            assert running.count(f"{program} ") >= 1
        if end != signal.SIGKILL:
            dev.stop(end)
            continue
        second = counting.sh("dev")
        assert (second.returncode, second.stderr) == (1, "sh run.sh dev is running here already\n")
        left = processes(counting).keys() - {dev.process.pid}
        dev.process.kill()
        dev.process.wait()
        assert left == processes(counting).keys()


def test_servers_that_are_configured_are_used_and_left_as_they_are(
    counting: Service, mariadb: MariaDB, redis_server: Redis, make_dev: Callable[[], Dev]
) -> None:
    mariadb.run("CREATE DATABASE dev", "GRANT ALL ON dev.* TO pyserver")
    settings = {**mariadb.env(), "MYSQL_DATABASE": "dev", "REDIS_HOST": "127.0.0.1"}
    counting.env["REDIS_PORT"] = str(redis_server.port)
    lines = [f"{name}={value}\n" for name, value in settings.items()]
    (counting.root / ".env").write_text("".join(lines))
    dev = make_dev()
    dev.await_line("pyserver is up")
    assert not {"mariadbd", "redis-server"} & {
        Path(command.split()[0]).name for command in processes(counting).values()
    }
    assert counting.request("/count")[1]["err_code"] == -1  # no table was made
    assert mariadb.run("SHOW TABLES FROM dev") == []
    dev.stop()


def test_a_missing_program_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit) as raised:
        require(("nosuchd", "sh"), MariaDB.packages)
    assert str(raised.value).splitlines() == [
        "nosuchd: not found; install it with one of",
        "  apt install mariadb-server",
        "  dnf install mariadb-server",
        "  brew install mariadb",
    ]
