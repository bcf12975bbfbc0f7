"""supervisord runs the service and brings it back."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.support.processes import alive
from tests.support.service import Service, wait_until


class Supervisor:
    """A supervisord of the project's supervisord.conf, in the folders of a service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        for folder in ("run", "logs"):
            (service.folder / folder).mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", "supervisord.conf"],
            cwd=service.root,
            env=service.env,
            stdout=subprocess.DEVNULL,
        )

    def ctl(self, *command: str) -> str:
        """Call supervisorctl and return what it prints."""
        return subprocess.run(
            [sys.executable, "-m", "supervisor.supervisorctl", "-c", "supervisord.conf", *command],
            cwd=self.service.root,
            env=self.service.env,
            capture_output=True,
            text=True,
        ).stdout

    def await_service(self) -> int:
        """Wait until the service answers, and return its master's pid."""
        wait_until(lambda: "RUNNING" in self.ctl("status"))
        wait_until(lambda: (self.service.folder / "run/state").exists())
        assert self.service.request()[0] == 200
        return self.service.pid


@pytest.fixture
def make_supervisor(make_service: Callable[..., Service]) -> Iterator[Callable[[], Supervisor]]:
    made: list[Supervisor] = []

    def make() -> Supervisor:
        made.append(Supervisor(make_service()))
        return made[-1]

    yield make
    for supervisor in made:
        supervisor.process.terminate()
    for supervisor in made:
        assert supervisor.process.wait(30) == 0


def test_supervisorctl_commands_the_service(make_supervisor: Callable[[], Supervisor]) -> None:
    supervisor = make_supervisor()
    first = supervisor.await_service()
    assert f"pid {first}," in supervisor.ctl("status")
    workers = supervisor.service.workers()
    supervisor.ctl("signal", "HUP", "pyserver")
    wait_until(lambda: not set(supervisor.service.workers()) & set(workers))
    assert supervisor.await_service() == first
    supervisor.ctl("restart", "pyserver")
    second = supervisor.await_service()
    assert second != first
    assert "stopped" in supervisor.ctl("stop", "pyserver")
    assert not alive(second)
    assert supervisor.service.sh("status").returncode == 3
    supervisor.ctl("start", "pyserver")
    assert supervisor.await_service() != second


def test_a_killed_master_comes_back_and_its_neighbour_does_not_notice(
    make_supervisor: Callable[[], Supervisor],
) -> None:
    one, other = make_supervisor(), make_supervisor()
    first, neighbour = one.await_service(), other.await_service()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: one.service.running_pid() not in (None, first))
    assert one.await_service() != first
    assert other.await_service() == neighbour
    socket = one.service.folder / "run/supervisor.sock"
    assert socket.stat().st_mode & 0o777 == 0o700  # the control is for its owner alone
    assert not (one.service.root / "supervisord.log").exists()
