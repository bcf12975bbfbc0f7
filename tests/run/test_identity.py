"""One folder is one service, whatever it is called; a pid file alone proves nothing."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import alive
from tests.support.running import leftovers
from tests.support.service import Service, wait_until


def test_a_stale_pid_file_is_recognised(service: Service) -> None:
    file = service.folder / "run/pid"
    file.parent.mkdir()
    for text in ("", "abc", "-1", "12 13", "$(touch x)", "1"):
        file.write_text(text)
        assert service.sh("status").returncode == 3
        assert service.sh("stop").stdout == "pyserver is not running\n"
    service.sh("start", check=True)
    assert service.request()[0] == 200


def test_an_invalid_state_file_is_ignored(service: Service) -> None:
    service.sh("start", check=True)
    state = service.folder / "run/state"
    whole = state.read_text()
    for text in ("", "\n", "started", "started=\npid=x\n", "started=08\n", "pid=$(touch x)\n"):
        state.write_text(text)
        status = service.sh("status")
        assert (status.returncode, status.stderr) == (0, "")
        assert status.stdout == f"pyserver is starting or stopping (pid {service.pid})\n"
        assert service.sh("reload").returncode == 1
    assert not (service.root / "x").exists()
    state.write_text(whole)
    service.sh("reload", check=True)


def test_a_foreign_process_is_never_signalled(
    service: Service, foreign: "subprocess.Popen[bytes]"
) -> None:
    run = service.folder / "run"
    run.mkdir()

    def forge(pid: int) -> None:
        for name in ("pid", "master"):
            (run / name).write_text(str(pid))
        (run / "state").write_text(f"pid={pid}\nstarted=1\nreloads=0\naddress=x\nworkers={pid}\n")

    for verb in ("stop", "start", "restart"):
        service.sh("stop")
        forge(foreign.pid)
        service.sh(verb, check=True)
    service.sh("stop", check=True)
    for pid in (foreign.pid, os.getppid()):
        forge(pid)
        assert service.sh("reload").returncode == 1
        assert service.sh("status").returncode == 3
        assert service.sh("stop").stdout == "pyserver is not running\n"


def test_the_pid_of_a_neighbour_in_the_same_folder_is_not_ours(service: Service) -> None:
    service.sh("start", check=True)
    other = {**service.env, "RUN_DIR": str(service.folder / "other")}
    shutil.copytree(service.folder / "run", other["RUN_DIR"], symlinks=True)
    for verb, code in (("status", 3), ("stop", 0), ("reload", 1)):
        done = subprocess.run(["sh", "run.sh", verb], cwd=service.root, env=other)
        assert done.returncode == code
    assert alive(service.pid)


def second_names(service: Service) -> Iterator[None]:
    """Call the service and its RUN_DIR by other names, one after the other."""
    (service.folder / "link to run").symlink_to(service.root / "run")
    names = (str(service.root / "run"), "./utils/..//run", "run//", "../link to run", "run")
    for service.env["RUN_DIR"] in names:
        yield
    (service.folder / "link").symlink_to(service.root)
    service.root = service.folder / "link"
    yield
    service.root = service.root.resolve().rename(service.folder / "renamed")
    yield


def test_the_service_is_found_under_a_second_name(service: Service) -> None:
    service.env.update(RUN_DIR="run", LOG_DIR="logs")
    service.sh("start", check=True)
    pid = int((service.root / "run/pid").read_text())
    files = {path.name for path in (service.root / "run").iterdir()}
    for _ in second_names(service):
        assert f"pid      {pid}" in service.sh("status", check=True).stdout
        assert service.sh("start").stdout == f"pyserver is already running (pid {pid})\n"
        assert service.sh("run").returncode == 1
        assert {path.name for path in (service.root / "run").iterdir()} == files
        assert service.request()[0] == 200
    assert "is up at" in service.sh("restart", check=True).stdout
    assert not alive(pid)
    assert service.sh("stop").stdout == "pyserver has stopped\n"
    assert leftovers(service) == []


def test_a_restart_by_a_link_replaces_what_runs(service: Service) -> None:
    service.sh("start", check=True)
    first = service.pid
    (service.folder / "link").symlink_to(service.folder / "run")
    service.env["RUN_DIR"] = str(service.folder / "link")
    service.sh("restart", check=True)
    assert not alive(first)
    assert alive(service.pid)


def test_a_reload_after_a_rename_is_left_to_a_restart(service: Service) -> None:
    service.sh("start", check=True)
    service.root = service.root.rename(service.folder / "renamed")
    done = service.sh("reload")
    assert done.returncode == 1
    assert "reload refused; the running service is untouched" in done.stderr
    assert service.request()[0] == 200


def test_a_killed_run_sh_leaves_a_service_that_is_known(service: Service) -> None:
    service.edit("api.py", "import random", "import random, time; time.sleep(1)")
    start = service.popen("start")
    wait_until(lambda: service.sh("status").returncode == 0)
    os.kill(start.pid, signal.SIGKILL)
    start.communicate()
    wait_until(service.running_pid)
    assert service.sh("start").stdout == f"pyserver is already running (pid {service.pid})\n"
    assert service.sh("stop").stdout == "pyserver has stopped\n"


def test_the_service_has_the_name_of_its_setting(service: Service) -> None:
    del service.env["SERVICE_NAME"]
    mark = '    """The service\'s settings: the template\'s, and yours."""\n'
    name = '    service_name: Annotated[str, "the name"] = "the shop"\n'
    service.edit("conf/settings.py", mark, f"{mark}\n{name}")
    service.edit(
        "conf/settings.py", "from conf.groups", "from typing import Annotated\n\nfrom conf.groups"
    )
    assert service.sh("stop").stdout == "the shop is not running\n"
    assert service.sh("start", check=True).stdout.startswith("the shop is up at ")
    assert service.sh("status").stdout.startswith("the shop is running\n")
    assert service.sh("reload").stdout == "the shop has reloaded\n"
    assert service.sh("stop").stdout == "the shop has stopped\n"


def test_status_writes_nothing(service: Service) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(service.folder).rglob("*")}
    service.env["PYTHONDONTWRITEBYTECODE"] = "1"
    assert service.sh("status").returncode == 3
    assert {path: path.stat().st_mtime_ns for path in Path(service.folder).rglob("*")} == before
