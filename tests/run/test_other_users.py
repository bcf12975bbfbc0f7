"""What other users of the machine can do to a service: nothing, whatever they put in its way."""

import os
import re
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.support.processes import processes_in
from tests.support.service import Service
from tests.support.stranger import STRANGER, as_stranger, attack, needs_root, start_as_stranger

PLANT = """
import os, sys
folder, victim = sys.argv[1:]
os.umask(0)
os.makedirs(folder)
for name in ("lock", "master", "new", "new.new", "state", "state.new", "pid", "console.log"):
    os.symlink(victim, os.path.join(folder, name))
"""
HOLD = """
import fcntl, sys, time
file = open(sys.argv[1])
getattr(fcntl, sys.argv[2])(file, fcntl.LOCK_SH)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def open_service(service: Service) -> Service:
    """A copy in a folder that everybody may enter, beside one that is like /tmp."""
    service.folder.chmod(0o755)
    (service.folder / "tmp").mkdir()
    (service.folder / "tmp").chmod(0o1777)
    return service


@pytest.fixture
def victim(service: Service) -> Path:
    """A file of ours that nobody may change."""
    file = service.folder / "victim"
    file.write_text("precious")
    return file


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@needs_root
@pytest.mark.parametrize("umask", [0, 0o022], indirect=True)
def test_nobody_else_reads_locks_or_writes_anything_of_a_service(
    open_service: Service, umask: None
) -> None:
    open_service.sh("start", check=True)
    open_service.request("/nowhere")
    open_service.sh("reload", check=True)
    folders = [open_service.folder / name for name in ("run", "logs")]
    assert attack(*folders) == []
    for path in (path for folder in folders for path in folder.rglob("*")):
        assert path.is_symlink() or path.stat().st_mode & 0o037 == 0 or path.name == "pid"
    assert open_service.sh("stop").stdout == "pyserver has stopped\n"


@pytest.mark.parametrize("umask", [0, 0o077], indirect=True)
def test_an_environment_is_locked_by_us_alone(fresh: Service, umask: None) -> None:
    fresh.sh("config", check=True)
    assert (fresh.root / ".venv.lock").stat().st_mode & 0o777 == 0o600
    assert not any(
        path.stat().st_mode & 0o002 for path in (fresh.root / ".venv.d").rglob("*") if path.exists()
    )


@needs_root
@pytest.mark.parametrize("name", ["RUN_DIR", "LOG_DIR"])
def test_a_folder_of_another_user_is_refused_by_every_verb(
    open_service: Service, victim: Path, name: str
) -> None:
    folder = open_service.folder / "tmp/taken"
    as_stranger(PLANT, str(folder), str(victim))
    open_service.env[name] = str(folder)
    for verb in {
        "RUN_DIR": ("start", "stop", "status", "reload", "run"),
        "LOG_DIR": ("start", "run"),
    }[name]:
        done = open_service.sh(verb)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "taken belongs to another user" in done.stderr
    assert victim.read_text() == "precious"
    assert {path.lstat().st_uid for path in folder.rglob("*")} == {STRANGER}
    assert processes_in(open_service.folder) == {}


@needs_root
def test_an_environment_of_another_user_is_not_executed(open_service: Service) -> None:
    venv = open_service.folder / "tmp/venv"
    plant = (
        "import os, sys; os.umask(0); os.makedirs(sys.argv[1]); open(sys.argv[1] + '/mine', 'w')"
    )
    as_stranger(plant, f"{venv}/bin")
    python = venv / "bin/python"
    python.write_text(f"#!/bin/sh\ntouch '{open_service.folder}/executed'\n")
    python.chmod(0o755)
    open_service.env["VENV"] = str(venv)
    for verb in ("status", "start", "config"):
        done = open_service.sh(verb)
        assert (done.returncode, "belongs to another user" in done.stderr) == (1, True)
    venv.rename(f"{venv}.d")  # and none is made in a folder of theirs
    done = open_service.sh("config")
    assert (done.returncode, "belongs to another user" in done.stderr) == (1, True)
    assert not (open_service.folder / "executed").exists()


def test_a_supervisord_that_does_not_answer_is_not_waited_for_without_limit(
    service: Service,
) -> None:
    service.edit("run.sh", "$((grace * 2 + 120))", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (service.folder / "run").mkdir()
        server = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (service.folder / "run/supervisor").write_text(f"shop:shop\n{server}\n")
        done = service.sh("stop")
    assert done.returncode == 1
    assert f"cannot ask the supervisord at {server}" in done.stderr


def test_an_environment_that_everybody_may_write_to_is_not_executed(service: Service) -> None:
    bin_folder = service.folder / "venv/bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python").write_text(f"#!/bin/sh\ntouch '{service.folder}/executed'\n")
    (bin_folder / "python").chmod(0o755)
    bin_folder.parent.chmod(0o777)
    service.env["VENV"] = str(bin_folder.parent)
    done = service.sh("status")
    assert (done.returncode, "everybody may write to it" in done.stderr) == (1, True)
    assert not (service.folder / "executed").exists()


ANSWERS = {"getVersion": "<string>3.0</string>", "getPID": "<int>1</int>"}
DONE = "<boolean>1</boolean>"


class Rogue(BaseHTTPRequestHandler):
    """Answers as a supervisord that does whatever it is asked to."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        method = body.partition("supervisor.")[2].partition("<")[0]
        value = ANSWERS.get(method, DONE)
        params = f"<params><param><value>{value}</value></param></params>"
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.end_headers()
        self.wfile.write(f"<methodResponse>{params}</methodResponse>".encode())

    def log_message(self, *_: object) -> None:
        pass


class Rude(Rogue):
    """Refuses with words that command a terminal."""

    def do_POST(self) -> None:
        self.send_response(500, "\x1b]0;title\x07\x9b2J")
        self.end_headers()


@pytest.mark.parametrize(
    ("handler", "words"),
    [(Rogue, "cannot stop pyserver (pid "), (Rude, "cannot ask the supervisord at http://127")],
)
def test_who_has_the_address_of_a_supervisord_that_is_gone_is_not_believed(
    service: Service, handler: type[Rogue], words: str
) -> None:
    service.sh("start", check=True)
    with HTTPServer(("127.0.0.1", 0), handler) as rogue:
        Thread(target=rogue.serve_forever, args=(0.01,)).start()
        file = service.folder / "run/supervisor"
        file.write_text(f"service:service\nhttp://127.0.0.1:{rogue.server_port}\n")
        done = [service.sh(verb) for verb in ("stop", "restart")]
        rogue.shutdown()
    file.unlink()
    assert [each.returncode for each in done] == [1, 1]
    assert words in done[0].stderr
    assert all((each.stdout + each.stderr).replace("\n", "").isprintable() for each in done)
    assert service.request()[0] == 200


@needs_root
@pytest.mark.parametrize("kind", ["flock", "lockf"])
def test_who_opened_a_lock_when_everybody_could_is_named_and_not_signalled(
    open_service: Service, kind: str, request: pytest.FixtureRequest
) -> None:
    run = open_service.folder / "run"
    run.mkdir(0o755)
    file = run / ("lock" if kind == "flock" else "master")
    file.touch(0o644)
    open_service.edit("run.sh", "$((grace * 4 + 240))", "1")
    stranger = start_as_stranger(HOLD, str(file), kind)
    request.addfinalizer(stranger.kill)
    assert stranger.stdout
    assert stranger.stdout.readline() == "held\n"
    for verb in ("stop", "start"):
        done = open_service.sh(verb)
        assert done.returncode == 1
        assert str(stranger.pid) in done.stderr
        assert str(file) in done.stderr
    assert stranger.poll() is None
    stranger.kill()
    stranger.communicate()
    open_service.sh("start", check=True)


@pytest.mark.parametrize("shell", [["bash"], ["busybox", "sh"]], ids=str)
def test_nothing_that_stands_in_run_dir_is_executed_or_commands_the_terminal(
    service: Service, shell: list[str]
) -> None:
    service.shell = shell
    service.sh("start", check=True)
    state = service.folder / "run/state"
    whole = state.read_text()
    evil = f"a[$(touch {service.folder}/executed)]"
    for name in ("started", "reloads", "pid"):
        state.write_text(re.sub(f"(?m)^{name}=.*$", f"{name}={evil}", whole))
        for verb in ("status", "reload"):
            assert "is starting or stopping" in "".join(
                service.sh(verb).stdout + service.sh(verb).stderr
            )
    for sequence in ("\x1b[2J", "\x9b2J", "\u202e", "\r"):
        state.write_text(whole.replace("http://", f"{sequence}http://"))
        status = service.sh("status")
        assert (status.stdout + status.stderr).replace("\n", "").isprintable()
    state.write_text(whole)
    assert not (service.folder / "executed").exists()
    (service.folder / "run/supervisor").write_text(f"\x1b[2J{evil}\n\x1b]0;title\x07{evil}\n")
    done = service.sh("stop")
    assert (done.stdout + done.stderr).replace("\n", "").isprintable()
    assert not (service.folder / "executed").exists()
    (service.folder / "run/supervisor").unlink()


@pytest.mark.parametrize("umask", [0o022], indirect=True)
def test_files_of_an_older_version_are_closed(service: Service, umask: None) -> None:
    for name in ("run/lock", "run/master", "logs/console.log"):
        file = service.folder / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        file.chmod(0o666)
    service.sh("start", check=True)
    modes = {
        name: (service.folder / name).stat().st_mode & 0o777
        for name in ("run/lock", "run/master", "logs/console.log")
    }
    assert modes == {"run/lock": 0o600, "run/master": 0o600, "logs/console.log": 0o640}


@needs_root
def test_root_is_told_what_it_risks(service: Service) -> None:
    words = "pyserver runs as root, and so does any fault in it"
    assert service.sh("start", check=True).stderr.count(words) == 1
    assert service.log().count(words) == 1
    assert STRANGER not in {path.stat().st_uid for path in service.folder.rglob("*")}
