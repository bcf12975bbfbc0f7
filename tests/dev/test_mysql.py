"""`sh run.sh dev` takes a MySQL where that is installed and MariaDB is not."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.dev import Dev
from tests.support.service import Service
from utils.dev.__main__ import has_server


@pytest.fixture
def path(pytestconfig: pytest.Config, tmp_path: Path) -> str:
    """All programs but for MariaDB's."""
    if not pytestconfig.getoption("mysql"):
        pytest.skip("needs a MySQL: sh run.sh test --mysql")
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*"):
            link = tmp_path / program.name
            if "mariadb" not in program.resolve().name and not link.exists():
                link.symlink_to(program)
    return str(tmp_path)


def test_dev_runs_on_mysql(counting: Service, path: str, make_dev: Callable[[], Dev]) -> None:
    counting.edit("utils/dev/commands.py", 'PLACES = ("/usr/sbin", "/usr/libexec")', "PLACES = ()")
    counting.env["PATH"] = path
    dev = make_dev()
    dev.await_line("MySQL is up at 127.0.0.1:")
    dev.await_line("pyserver is up")
    assert counting.request("/count")[1]["data"] == 1
    command = f"{dev.command_after('MySQL is up')} -Ne 'SELECT COUNT(*) FROM calls'"
    assert subprocess.check_output(["sh", "-c", command], env=counting.env) == b"1\n"
    assert "pending" not in counting.sh("migrate", "status").stdout
    dev.stop()


@pytest.mark.parametrize("name", ["MYSQL_HOST", "MYSQL_URL", "MYSQL_URL_FILE"])
def test_a_mysql_that_is_configured_in_any_way_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("MYSQL_HOST")
    assert not has_server("MYSQL")
    monkeypatch.setenv(name, "x")
    assert has_server("MYSQL")
