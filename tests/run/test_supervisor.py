"""supervisord runs the service and brings it back, and the verbs of run.sh go through it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.processes import alive
from tests.support.running import leftovers
from tests.support.service import Service, wait_until
from tests.support.supervisor import Supervisor


@pytest.fixture(scope="module")
def supervisor() -> Iterator[Supervisor]:
    """A service under supervisord, which all tests leave as it was."""
    supervisor = Supervisor(Service())
    yield supervisor
    supervisor.remove()


def test_supervise_starts_a_service_that_supervisord_keeps_up(supervisor: Supervisor) -> None:
    pid = supervisor.await_service()
    assert f"is up at http://127.0.0.1:{supervisor.service.port}" in supervisor.started.stdout
    assert f"pid {pid}," in supervisor.ctl("status")
    again = supervisor.service.sh("supervise")
    assert (again.returncode, "keeps pyserver up already" in again.stderr) == (1, True)


def test_supervisorctl_commands_the_service(supervisor: Supervisor) -> None:
    first = supervisor.await_service()
    workers = supervisor.service.workers()
    supervisor.ctl("signal", "HUP", "service")
    wait_until(lambda: not set(supervisor.service.workers()) & set(workers))
    assert supervisor.await_service() == first
    supervisor.ctl("restart", "service")
    second = supervisor.await_service()
    assert second != first
    assert "stopped" in supervisor.ctl("stop", "service")
    assert not alive(second)
    assert supervisor.service.sh("status").returncode == 3
    supervisor.ctl("start", "service")
    assert supervisor.await_service() != second


def test_the_verbs_leave_the_service_supervised(supervisor: Supervisor) -> None:
    service, first = supervisor.service, supervisor.await_service()
    service.sh("reload", check=True)
    assert supervisor.await_service() == first
    service.sh("restart", check=True)
    second = supervisor.await_service()
    assert second != first
    assert f"pid {second}," in supervisor.ctl("status")
    assert service.sh("stop", check=True).stdout == "pyserver has stopped\n"
    assert supervisor.status() == "STOPPED"
    assert service.sh("status").returncode == 3
    service.sh("start", check=True)
    assert f"pid {supervisor.await_service()}," in supervisor.ctl("status")


def test_broken_code_is_refused_before_supervisord_stops_anything(supervisor: Supervisor) -> None:
    service, first = supervisor.service, supervisor.await_service()
    service.edit("api.py", "import random", "import nowhere_to_be_found")
    done = service.sh("restart")
    assert (done.returncode, "restart refused" in done.stderr) == (1, True)
    assert supervisor.await_service() == first
    service.edit("api.py", "import nowhere_to_be_found", "import random")


def test_without_its_supervisord_the_verbs_do_it_themselves(service: Service) -> None:
    supervisor = Supervisor(service)
    supervisor.shut_down()
    assert service.sh("start", check=True).stdout.startswith("pyserver is up at")
    assert service.sh("restart", check=True).stdout.startswith("pyserver is up at")
    assert service.sh("stop").stdout == "pyserver has stopped\n"


def test_a_service_that_runs_already_is_not_taken_over(service: Service) -> None:
    service.sh("start", check=True)
    done = service.sh("supervise")
    assert done.returncode == 1
    assert f"without supervisord (pid {service.pid}): sh run.sh stop ends it" in done.stderr


def test_a_start_within_a_supervised_program_is_not_supervised(service: Service) -> None:
    service.env.update(
        SUPERVISOR_SERVER_URL="unix:///nowhere",
        SUPERVISOR_GROUP_NAME="shell",
        SUPERVISOR_PROCESS_NAME="shell",
    )
    service.sh("start", check=True)
    assert not (service.folder / "run/supervisor").exists()


def test_what_does_not_come_up_leaves_no_supervisord(service: Service) -> None:
    hook = "def on_starting(server: Any) -> None:\n"
    service.edit("gunicorn_conf.py", hook, f"{hook}    raise SystemExit('not today')\n")
    # supervisord tries again and again: the first failure is enough here.
    service.edit("run.sh", "await 60 up_or_ended", "await 60 grep -q today logs/console.log")
    done = service.sh("supervise")
    assert done.returncode == 1
    assert "not today" in done.stderr
    assert leftovers(service) == []


def test_supervisord_has_to_wait_as_long_as_a_stop_may_take(service: Service) -> None:
    service.env["GRACEFUL_TIMEOUT"] = "60"
    done = service.sh("supervise")
    assert (done.returncode, "stopwaitsecs to 130 or more" in done.stderr) == (1, True)


def test_a_killed_master_is_restarted_and_others_are_untouched(
    supervisor: Supervisor, service: Service
) -> None:
    first = supervisor.await_service()
    service.sh("start", check=True)
    neighbour = service.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: supervisor.service.running_pid() not in (None, first))
    assert supervisor.await_service() != first
    assert service.pid == neighbour
    assert service.request()[0] == 200
    socket = supervisor.service.root / "run/supervisor.sock"
    assert socket.stat().st_mode & 0o777 == 0o700  # the control is for its owner alone


CONFIGURATION = """
[unix_http_server]
file=%(here)s/own.sock
[supervisord]
pidfile=%(here)s/own.pid
logfile=%(here)s/own.log
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://%(here)s/own.sock
[program:shop]
directory=%(here)s/copy
command=sh run.sh run
"""


def test_a_supervisord_of_ones_own_is_commanded_too(service: Service) -> None:
    (service.folder / "own.conf").write_text(CONFIGURATION)

    def call(program: str, *command: str) -> str:
        module = [
            sys.executable,
            "-m",
            f"supervisor.{program}",
            "-c",
            str(service.folder / "own.conf"),
        ]
        return subprocess.run(
            [*module, *command], env=service.env, capture_output=True, text=True
        ).stdout

    call("supervisord")
    first = wait_until(service.running_pid)
    wait_until(lambda: "RUNNING" in call("supervisorctl", "status"))
    service.sh("restart", check=True)
    assert first != service.pid
    assert f"pid {service.pid}," in call("supervisorctl", "status")
    service.sh("stop", check=True)
    assert "STOPPED" in call("supervisorctl", "status")
    call("supervisorctl", "shutdown")
    wait_until(lambda: not (service.folder / "own.sock").exists())
