"""Ctrl-C at any moment leaves nothing half done, and says what is true."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable

import pytest

from tests.support.processes import processes_in
from tests.support.running import leftovers
from tests.support.service import Service, wait_until

MESSAGE = "run.sh: interrupted by INT; sh run.sh status tells what runs\n"

Call = Callable[..., "subprocess.Popen[str]"]


def hang(service: Service, file: str = "api.py") -> None:
    """Have a module of the copy hang when it is imported, once it has told that it does."""
    mark = str(service.folder / "hangs")
    code = f"import pathlib, time; pathlib.Path({mark!r}).touch(); time.sleep(600)\n"
    with (service.root / file).open("a") as source:
        source.write(code)


def interrupt(process: "subprocess.Popen[str]", number: int = signal.SIGINT) -> tuple[int, str]:
    """Send the signal as the terminal does, to all that it runs; return exit status and output."""
    os.killpg(process.pid, number)
    printed = process.communicate(timeout=60)[0]
    return process.returncode, printed


@pytest.mark.parametrize(
    ("number", "name", "code"),
    [(signal.SIGINT, "INT", 130), (signal.SIGTERM, "TERM", 143), (signal.SIGHUP, "HUP", 129)],
)
def test_an_interrupted_start_leaves_nothing(
    service: Service, shell: list[str], at_terminal: Call, number: int, name: str, code: int
) -> None:
    service.shell = shell
    hang(service)
    process = at_terminal("start")
    wait_until((service.folder / "hangs").exists)
    status, printed = interrupt(process, number)
    assert status == code
    assert printed.endswith(f"run.sh: interrupted by {name}; sh run.sh status tells what runs\n")
    assert leftovers(service) == []
    assert service.sh("status").returncode == 3


def test_an_interrupted_installation_leaves_nothing(
    fresh: Service, at_terminal: Call, silent_registry: tuple[socket.socket, dict[str, str]]
) -> None:
    registry, env = silent_registry
    fresh.env.update(env)
    process = at_terminal("start")
    connection, _ = registry.accept()
    with connection:
        code, printed = interrupt(process)
    assert code == 130
    assert printed.endswith(MESSAGE)
    assert "Traceback" not in printed
    assert processes_in(fresh.folder) == {}
    assert list((fresh.root / ".venv.d").iterdir()) == []
    assert not (fresh.root / ".venv").exists()


def test_an_interrupted_restart_leaves_what_runs(service: Service, at_terminal: Call) -> None:
    service.sh("start", check=True)
    before = service.pid, service.workers()
    hang(service)
    process = at_terminal("restart")
    wait_until((service.folder / "hangs").exists)
    assert interrupt(process) == (130, MESSAGE)
    assert (service.pid, service.workers()) == before
    assert service.request()[0] == 200


def test_a_verb_that_waits_for_another_one_can_be_interrupted(
    service: Service, at_terminal: Call
) -> None:
    hang(service)
    first = at_terminal("start")
    wait_until((service.folder / "hangs").exists)
    second = at_terminal("restart")
    wait_until(lambda: "locks wait" in " ".join(processes_in(service.folder).values()))
    assert interrupt(second) == (130, MESSAGE)
    assert first.poll() is None
    interrupt(first)
    assert leftovers(service) == []
