"""run.sh: every verb, on a real service, also when things are wrong or happen at once."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.processes import alive, processes_in
from tests.support.service import Load, Service, wait_until

SLOW = "import time; time.sleep({}); return self.respond(TestApi, request)"


class Call:
    """A request under way in a thread."""

    def __init__(self, service: Service, path: str) -> None:
        self.answer: Any = None
        self.thread = threading.Thread(target=self.run, args=(service, path))
        self.thread.start()
        time.sleep(0.3)  # the request has to be in flight, which nothing but the route sees

    def run(self, service: Service, path: str) -> None:
        try:
            self.answer = service.request(path)
        except OSError as error:
            self.answer = (repr(error),)

    def status(self) -> Any:
        self.thread.join()
        return self.answer[0]


def port_is_free(service: Service) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return sock.connect_ex(("127.0.0.1", service.port)) != 0


def leftovers(service: Service) -> list[str]:
    """Return what a service that is not up has left: processes and files."""
    found = [str(pid) for pid in processes_in(service.root)]
    run = service.folder / "run"
    return found + [name for name in ("pid", "state") if (run / name).exists()]


@pytest.fixture
def foreign() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is none of ours."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    assert process.poll() is None, "a foreign process was signalled"
    process.kill()
    process.wait()


def test_the_main_job_under_each_shell(service: Service, shell: list[str]) -> None:
    service.shell = shell
    started = service.sh("start")
    assert started.returncode == 0
    assert (
        f"pyserver is up at http://127.0.0.1:{service.port} (pid {service.pid})" in started.stdout
    )
    curl = started.stdout.splitlines()[-1]
    answer = subprocess.run(curl, shell=True, capture_output=True, text=True, check=True).stdout
    assert '"order_id":12345' in answer
    first = service.pid
    again = service.sh("start")
    assert (again.returncode, again.stdout) == (0, f"pyserver is already running (pid {first})\n")
    status = service.sh("status")
    assert status.returncode == 0
    for words in (f"pid {first}", f"address http://127.0.0.1:{service.port}", "uptime"):
        assert words in re.sub(" +", " ", status.stdout)
    assert f"workers  {' '.join(map(str, service.workers()))}" in status.stdout
    assert service.sh("reload").returncode == 0
    assert service.pid == first
    assert service.sh("restart").returncode == 0
    assert service.pid != first
    assert service.request()[0] == 200
    stopped = service.sh("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "pyserver has stopped\n")
    assert port_is_free(service)
    assert leftovers(service) == []
    again = service.sh("stop")
    assert (again.returncode, again.stdout) == (0, "pyserver is not running\n")
    assert service.sh("status").returncode == 3
    assert "SERVER_PORT" in service.sh("config").stdout
    assert service.sh("dance").returncode != 0
    assert leftovers(service) == []


def test_a_start_on_a_taken_port_fails_and_leaves_nothing(
    make_service: Callable[..., Service],
) -> None:
    first, second = make_service(), make_service()
    second.env["SERVER_PORT"] = str(first.port)
    first.sh("start", check=True)
    done = second.sh("start")
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert leftovers(second) == []
    assert first.request()[0] == 200


BROKEN = [
    ("api.py", "import random", "import random, nowhere_to_be_found", "nowhere_to_be_found"),
    ("server.py", "class Server(", "class Server((", "SyntaxError"),
    ("gunicorn_conf.py", "import sys", "import sys\n1 / 0", "ZeroDivisionError"),
    (
        "server.py",
        "g_server =",
        '@expose("/test")\ndef test() -> None: ...\n\n\ng_server =',
        "is taken by",
    ),
]


@pytest.mark.parametrize(("file", "old", "new", "reason"), BROKEN, ids=[b[3] for b in BROKEN])
def test_a_start_of_broken_code_fails_with_the_reason(
    service: Service, file: str, old: str, new: str, reason: str
) -> None:
    service.edit(file, old, new)
    done = service.sh("start")
    assert done.returncode == 1
    assert reason in done.stderr
    assert leftovers(service) == []


@pytest.mark.parametrize("verb", ["reload", "restart"])
def test_broken_code_is_refused_and_what_runs_is_untouched(service: Service, verb: str) -> None:
    service.sh("start", check=True)
    before = service.pid, service.workers()
    for file, old, new, reason in BROKEN:
        service.edit(file, old, new)
        done = service.sh(verb)
        assert done.returncode == 1
        assert reason in done.stderr
        assert (service.pid, service.workers()) == before
        assert service.request()[0] == 200
        service.edit(file, new, old)
    service.sh(verb, check=True)
    assert not set(service.workers()) & set(before[1])


def test_wrong_settings_are_refused_by_reload_and_do_not_hinder_stop(service: Service) -> None:
    service.sh("start", check=True)
    (service.root / ".env").write_text("WORKERS=many\n")
    done = service.sh("reload")
    assert done.returncode == 1
    assert "WORKERS='many': expected an integer from 1 to 512" in done.stderr
    assert service.request()[0] == 200
    assert service.sh("stop").stdout == "pyserver has stopped\n"


def test_a_bare_hup_with_broken_code_is_refused_too(service: Service) -> None:
    service.sh("start", check=True)
    before = service.workers()
    service.edit("api.py", "import random", "import nowhere_to_be_found")
    os.kill(service.pid, signal.SIGHUP)
    wait_until(lambda: "nowhere_to_be_found" in service.log("error"))
    assert service.workers() == before
    assert service.request()[0] == 200
    service.edit("api.py", "import nowhere_to_be_found", "import random")
    service.sh("reload", check=True)
    assert not set(service.workers()) & set(before)


def test_a_reload_takes_new_code_and_settings_of_every_layer(service: Service) -> None:
    service.sh("start", check=True)
    service.edit("api.py", "random.choice((-1, 0, 1))", "77")
    service.edit("utils/web/envelope.py", '"ok"', '"fine"')
    (service.root / ".env").write_text("WORKERS=3\nMAX_BODY_BYTES=100\n")
    service.sh("reload", check=True)
    _, envelope, _ = service.request()
    assert (envelope["data"]["result"], envelope["err_msg"]) == (77, "fine")
    assert len(service.workers()) == 3
    assert service.request(body=" " * 101)[0] == 413
    (service.root / ".env").write_text("")
    service.sh("reload", check=True)
    assert len(service.workers()) == 2


def test_a_reload_leaves_new_packages_to_a_restart(service: Service) -> None:
    service.sh("start", check=True)
    before = service.workers()
    with (service.root / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    done = service.sh("reload")
    assert done.returncode == 1
    assert "take a restart" in done.stderr
    assert service.workers() == before


def test_a_reload_needs_a_running_service(service: Service) -> None:
    done = service.sh("reload")
    assert (done.returncode, done.stderr) == (1, "run.sh: pyserver is not running\n")


def test_a_stop_lets_requests_in_flight_finish(service: Service) -> None:
    service.add_route("slow", SLOW.format(2))
    service.sh("start", check=True)
    call = Call(service, "/slow")
    service.sh("stop", check=True)
    assert port_is_free(service)
    assert leftovers(service) == []
    assert call.status() == 200


def test_a_restart_waits_for_requests_in_flight(service: Service) -> None:
    service.add_route("slow", SLOW.format(2))
    service.sh("start", check=True)
    first, call = service.pid, Call(service, "/slow")
    service.sh("restart", check=True)
    assert call.status() == 200
    assert service.pid != first
    assert service.request()[0] == 200


def test_a_reload_returns_while_an_old_request_goes_on(service: Service) -> None:
    service.add_route("slow", SLOW.format(3))
    service.sh("start", check=True)
    call = Call(service, "/slow")
    service.edit("api.py", "random.choice((-1, 0, 1))", "77")
    service.sh("reload", check=True)
    assert call.thread.is_alive()
    assert service.request()[1]["data"]["result"] == 77
    assert call.status() == 200


def test_a_request_beyond_the_graceful_timeout_does_not_hold_a_restart(service: Service) -> None:
    service.env["GRACEFUL_TIMEOUT"] = "2"
    service.add_route("slow", SLOW.format(60))
    service.sh("start", check=True)
    call = Call(service, "/slow")
    started = time.monotonic()
    service.sh("restart", check=True)
    assert time.monotonic() - started < 10
    assert service.request()[0] == 200
    assert "RemoteDisconnected" in call.status() or "Reset" in call.status()


def test_reloads_in_a_row_under_load_lose_no_request(service: Service) -> None:
    service.sh("start", check=True)
    with Load(service, keeping=16, closing=16) as load:
        for _ in range(10):
            before = service.workers()
            service.sh("reload", check=True)
            assert not set(before) & set(service.workers())
    assert load.failures == []
    assert load.answers > 1_000


def test_restarts_in_a_row_leave_the_service_up_after_each(service: Service) -> None:
    service.sh("start", check=True)
    for _ in range(3):
        service.sh("restart", check=True)
        assert service.request()[0] == 200


@pytest.mark.parametrize("text", ["", "abc", "0", "-1", "1", "99999999", "12 13", "$(touch x)"])
def test_a_stale_pid_file_is_recognised(service: Service, text: str) -> None:
    file = service.folder / "run/pid"
    file.parent.mkdir()
    file.write_text(text)
    assert service.sh("status").returncode == 3
    assert service.sh("stop").stdout == "pyserver is not running\n"
    if text == "1":
        service.sh("start", check=True)
        assert service.request()[0] == 200


def test_a_foreign_process_is_never_signalled(
    service: Service, foreign: "subprocess.Popen[bytes]"
) -> None:
    file = service.folder / "run/pid"
    file.parent.mkdir()
    for verb in ("stop", "start", "restart"):
        service.sh("stop")
        file.write_text(str(foreign.pid))
        service.sh(verb, check=True)
    file.write_text(str(foreign.pid))
    assert service.sh("reload").returncode == 1
    file.write_text(str(os.getppid()))
    assert service.sh("status").returncode == 3
    for pid in map(int, [name for name in leftovers(service) if name.isdigit()]):
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: leftovers(service) == ["pid"])


def test_two_starts_at_once_make_one_service(service: Service) -> None:
    starts = [service.popen("start") for _ in range(3)]
    printed = [start.communicate()[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0], printed
    assert sum("is up at" in text for text in printed) == 1
    assert sum("already running" in text for text in printed) == 2
    masters = wait_until(lambda: [pid for pid in leftovers(service) if pid.isdigit()])
    assert len(masters) == 3  # a master and its two workers


def test_a_killed_master_leaves_nothing_that_hinders_a_start(service: Service) -> None:
    service.sh("start", check=True)
    first = service.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not alive(first))
    assert service.sh("status").returncode == 3
    service.sh("start", check=True)
    assert service.pid != first
    assert service.request()[0] == 200


def test_run_stays_in_the_foreground_and_is_the_process_that_gets_the_signal(
    service: Service,
) -> None:
    process = service.popen("run")
    wait_until(lambda: (service.folder / "run/state").exists())
    assert service.pid == process.pid
    assert service.request()[0] == 200
    assert service.sh("run").returncode == 1
    process.terminate()
    assert process.wait(20) == 0
    assert leftovers(service) == []


def test_no_trusted_proxy_means_that_no_forwarded_header_counts(
    make_service: Callable[..., Service],
) -> None:
    for proxies, scheme in (("", "http"), ("127.0.0.0/8", "https")):
        service = make_service(TRUSTED_PROXIES=proxies)
        service.add_route("scheme", "return Envelope(request.uuid, {}, request.scheme)")
        service.sh("start", check=True)
        assert service.request("/scheme", X_Forwarded_Proto="https")[1]["data"] == scheme


@pytest.fixture
def fresh(service: Service) -> Service:
    """A copy without an environment, that needs few packages."""
    service.env["VENV"] = str(service.root / ".venv")
    pinned = (service.root / "requirements.txt").read_text().splitlines(keepends=True)
    needed = [line for line in pinned if line.startswith(("msgspec", "python-dotenv"))]
    (service.root / "requirements.txt").write_text("".join(needed))
    return service


def interrupt(service: Service, step: str) -> None:
    """Call run.sh, and kill it and its children in the middle of a step of the installation."""
    process = subprocess.Popen(
        ["sh", "run.sh", "config"],
        cwd=service.root,
        env=service.env,
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stderr
    assert any(line.startswith(step) for line in process.stderr)
    time.sleep(0.5)  # well within the step, which takes seconds
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_first_use_makes_the_environment_however_often_it_is_interrupted(fresh: Service) -> None:
    interrupt(fresh, "Creating")
    interrupt(fresh, "Installing")
    calls = [fresh.popen("config") for _ in range(2)]
    printed = [call.communicate()[0] for call in calls]
    assert all("SERVER_PORT" in text for text in printed)
    assert sum("Installing requirements.txt" in text for text in printed) == 1
    assert fresh.sh("config", check=True).stderr == ""
    with (fresh.root / "requirements.txt").open("a") as file:
        file.write("six\n")
    assert fresh.sh("config", check=True).stderr.startswith("Installing requirements.txt ...\n")
    assert list((fresh.root / ".venv").glob("lib/*/site-packages/six.py"))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 3.9", "is Python 3.9: set PYTHON to one of 3.10 or newer"),
        ("echo 2.7", "is Python 2.7: set PYTHON to one of 3.10 or newer"),
        ("exit 1", "cannot run"),
        (f'case "$*" in *ensurepip*) exit 1 ;; esac; exec {sys.executable} "$@"', "no venv module"),
    ],
)
def test_an_unfit_python_is_refused(fresh: Service, script: str, message: str) -> None:
    python = fresh.folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    fresh.env["PYTHON"] = str(python)
    done = fresh.sh("start")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_stop_and_status_need_no_environment(fresh: Service) -> None:
    assert fresh.sh("status").returncode == 3
    assert fresh.sh("stop").stdout == "pyserver is not running\n"
    assert not (fresh.root / ".venv").exists()
