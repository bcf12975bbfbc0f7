"""While `sh run.sh dev` runs: what it prints is true, and the other verbs know of it."""

import subprocess
from collections.abc import Callable

import pytest

from tests.support.dev import Dev
from tests.support.logs import LINE
from tests.support.processes import processes_in
from tests.support.service import Service


@pytest.mark.parametrize(
    ("server", "arguments", "answer"),
    [
        ("pyserver", "--silent", '{"order_id":12345,"uuid":'),
        ("MariaDB", "-Ne 'SELECT DATABASE()'", "pyserver\n"),
        ("Redis", "PING", "PONG\n"),
    ],
)
def test_the_printed_command_reaches_the_server(
    shared: Dev, server: str, arguments: str, answer: str
) -> None:
    command = f"{shared.command_after(f'{server} is up')} {arguments}"
    # Not in the tests' own environment: MariaDB's client takes a MYSQL_HOST for the host.
    env = shared.service.env
    done = subprocess.run(command, shell=True, env=env, capture_output=True, text=True)
    assert done.stdout.startswith(answer), done


def test_the_log_is_on_the_terminal(shared: Dev) -> None:
    shared.service.request("/nowhere")
    shared.await_line("POST /nowhere 404")
    (line,) = [line for line in shared.printed().splitlines() if "POST /nowhere 404" in line]
    assert LINE.fullmatch(line)
    assert not (shared.service.folder / "logs").exists()


def test_nobody_else_enters_the_folder(shared: Dev) -> None:
    assert (shared.service.root / ".dev").stat().st_mode & 0o777 == 0o700


def test_a_second_dev_is_refused(shared: Dev) -> None:
    before = processes_in(shared.service.root)
    second = shared.service.sh("dev")
    assert (second.returncode, second.stderr) == (1, "sh run.sh dev is running here already\n")
    assert processes_in(shared.service.root) == before


def test_a_dev_beside_a_running_service_starts_nothing(
    make_service: Callable[..., Service],
) -> None:
    service = make_service()
    service.sh("start", check=True)
    done = service.sh("dev")
    assert done.returncode == 1
    assert done.stderr.startswith(f"cannot listen on 127.0.0.1:{service.port}: address already")
    assert done.stdout == ""
    assert not (service.root / ".dev").exists()


def test_status_knows_of_dev(shared: Dev) -> None:
    status = shared.service.sh("status")
    assert status.returncode == 0
    assert status.stdout.startswith("pyserver is running under sh run.sh dev\n")
    assert f"http://127.0.0.1:{shared.service.port}" in status.stdout


def test_migrate_knows_of_the_mariadb_of_dev(shared: Dev) -> None:
    status = shared.service.sh("migrate", "status")
    assert status.returncode == 0, status
    assert "UTC 9000_create_calls.sql" in status.stdout
    assert status.stderr == "MYSQL_HOST is not set: this is the server of sh run.sh dev\n"
