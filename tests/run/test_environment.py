"""The environment is made at first use, and what works is never ruined by what does not."""

import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.processes import processes_in
from tests.support.service import Service

MISTYPED = "msgspec==0.0.0.1 --hash=sha256:" + "0" * 64 + "\n"


def append(service: Service, text: str, file: str = "requirements.lock") -> None:
    with (service.root / file).open("a") as lock:
        lock.write(text)


def test_first_use_makes_the_environment_and_two_at_once_make_one(fresh: Service) -> None:
    calls = [fresh.popen("config") for _ in range(2)]
    printed = [call.communicate()[0] for call in calls]
    assert all("SERVER_PORT" in text for text in printed)
    assert sum("Installing requirements.lock" in text for text in printed) == 1
    assert fresh.sh("config", check=True).stderr == ""


def test_a_kill_leaves_what_the_next_call_makes_whole(
    fresh: Service,
    at_terminal: Callable[..., "object"],
    silent_registry: tuple[socket.socket, dict[str, str]],
) -> None:
    registry, env = silent_registry
    usual = dict(fresh.env)
    fresh.env.update(env)
    process = fresh.popen("config")
    connection, _ = registry.accept()
    process.kill()
    process.wait()
    for pid in processes_in(fresh.folder):
        os.kill(pid, signal.SIGKILL)
    connection.close()
    fresh.env = usual
    assert not (fresh.root / ".venv").exists()
    assert "SERVER_PORT" in fresh.sh("config", check=True).stdout
    assert len(list((fresh.root / ".venv.d").iterdir())) == 1


def test_a_failed_installation_leaves_a_running_service_all_its_verbs(
    linked: Service, tests_lock: None, no_registry: dict[str, str]
) -> None:
    linked.sh("start", check=True)
    before = linked.pid, linked.workers()
    usual, lock = dict(linked.env), (linked.root / "requirements.lock").read_text()
    for verb, file, text, env in (
        ("restart", "requirements.lock", "# changed\n", no_registry),
        ("config", "requirements.lock", MISTYPED, {}),
        ("reload", "requirements.lock", MISTYPED, {}),
        ("config", "requirements.lock", "# changed\n", {"PYTHON": str(killed_pip(linked))}),
        ("test", "tests/requirements.lock", "# changed\n", no_registry),
    ):
        append(linked, text, file)
        linked.env.update(env)
        done = linked.sh(verb)
        assert done.returncode == 1
        assert verb == "reload" or "cannot install" in done.stderr
        assert (linked.pid, linked.workers()) == before
        assert linked.request()[0] == 200
        (linked.root / "requirements.lock").write_text(lock)  # taken back
        linked.env = {**usual, **no_registry}
        assert "SERVER_PORT" in linked.sh("config", check=True).stdout
        linked.env = dict(usual)
    linked.env.update(no_registry)
    assert linked.sh("reload", check=True).stdout == "pyserver has reloaded\n"
    assert "is up at" in linked.sh("restart", check=True).stdout


def killed_pip(service: Service) -> Path:
    """Return a Python whose environments have a pip that is killed half way."""
    python = service.folder / "python"
    python.write_text(
        f'#!/bin/sh\n"{sys.executable}" "$@" || exit 1\n'
        'case "$*" in *"-m venv"*) ;; *) exit 0 ;; esac\n'
        'for last; do :; done\nrm "$last/bin/python"\n'
        'printf "#!/bin/sh\\nkill -9 \\$\\$\\n" >"$last/bin/python"\nchmod +x "$last/bin/python"\n'
    )
    python.chmod(0o755)
    return python


def test_a_running_service_keeps_its_environment_when_another_one_is_made(
    linked: Service,
) -> None:
    linked.sh("start", check=True)
    whole = (linked.root / "requirements.lock").read_text()
    small = re.findall(r"^(?:msgspec|python-dotenv)==(?:.*\\\n)+.*\n", whole, re.MULTILINE)
    (linked.root / "requirements.lock").write_text("".join(small))
    linked.sh("config", check=True)
    assert (linked.folder / "venv").resolve() != Path(sys.prefix)
    done = linked.sh("restart")
    assert "restart refused; what was running still is" in done.stderr
    os.kill(linked.workers()[0], signal.SIGKILL)  # its successor finds the old packages
    (linked.root / "requirements.lock").write_text(whole)
    assert linked.sh("reload", check=True).stdout == "pyserver has reloaded\n"
    assert linked.request()[0] == 200


def test_a_deleted_environment_does_not_hinder_what_needs_none(linked: Service) -> None:
    linked.env["PYTHON"] = f"{sys.base_prefix}/bin/python3.{sys.version_info.minor}"
    linked.sh("start", check=True)
    (linked.folder / "venv").unlink()
    assert "is running" in linked.sh("status", check=True).stdout
    assert linked.sh("reload", check=True).stdout == "the service has reloaded\n"
    shutil.rmtree(linked.folder / "venv.d")
    (linked.folder / "run/environment").unlink()
    done = linked.sh("reload")
    assert (done.returncode, "new packages need a restart" in done.stderr) == (1, True)
    assert linked.sh("stop").stdout == "the service has stopped\n"


def test_no_install_means_that_nothing_is_installed(fresh: Service) -> None:
    fresh.env["NO_INSTALL"] = "1"
    done = fresh.sh("start")
    assert (done.returncode, "NO_INSTALL is set" in done.stderr) == (1, True)
    assert not (fresh.root / ".venv").exists()


def test_a_changed_list_without_its_lock_is_told_in_one_line(service: Service) -> None:
    append(service, "\n# a comment\n", "requirements.txt")
    assert service.sh("config", check=True).stderr == ""
    append(service, "six==1.17.0\n", "requirements.txt")
    assert service.sh("config", check=True).stderr == (
        "requirements.txt has changed since its lock was made: run sh run.sh lock\n"
    )


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 3.10 /usr/bin/python3; exit 1", "is 3.10 /usr/bin/python3\n"),
        ("exit 1", "is not a Python that runs\n"),
    ],
)
def test_an_unfit_python_is_refused(fresh: Service, script: str, message: str) -> None:
    python = fresh.folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    fresh.env["PYTHON"] = str(python)
    done = fresh.sh("start")
    assert done.returncode == 1
    assert "set PYTHON to a Python of 3.11 or newer" in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_stop_and_status_need_no_environment(fresh: Service) -> None:
    assert fresh.sh("status").returncode == 3
    assert fresh.sh("stop").stdout == "the service is not running\n"
    assert not (fresh.root / ".venv").exists()
