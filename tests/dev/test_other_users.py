"""What other users of the machine can do to `sh run.sh dev`: nothing, whatever they put there."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.dev import Dev
from tests.support.processes import alive, processes_in
from tests.support.service import Service, wait_until
from tests.support.stranger import STRANGER, as_stranger, attack, needs_root
from utils.dev.commands import spawn

CONNECT = """
import socket, sys
for port in sys.argv[1:]:
    with socket.create_connection(("127.0.0.1", int(port))) as sock:
        sock.settimeout(10)
        sock.sendall(b"CONFIG GET dir\\r\\n")
        print(sock.recv(200))
"""


@needs_root
def test_nobody_else_reads_locks_or_writes_anything_of_dev(shared: Dev) -> None:
    root = shared.service.root
    shared.service.folder.chmod(0o755)
    assert attack(root / ".dev") == []
    for name in ("env", "lock", "redis/redis.conf", "redis/password", "mariadb/server.log"):
        assert (root / ".dev" / name).stat().st_mode & 0o077 == 0


@needs_root
def test_nobody_else_is_let_in_by_the_servers_of_dev(shared: Dev) -> None:
    ports = [
        line.split("127.0.0.1:")[1].split(";")[0]
        for line in shared.printed().splitlines()
        if "is up at 127.0.0.1:" in line
    ]
    mariadb, redis = as_stranger(CONNECT, *ports).splitlines()
    assert "MariaDB" in mariadb  # a greeting; tests/dev/test_local_servers.py tries its accounts
    assert "NOAUTH" in redis


def test_no_password_is_on_the_terminal_or_in_a_command_line(shared: Dev) -> None:
    assert "it's" not in shared.printed()
    assert "it's" not in " ".join(processes_in(shared.service.root).values())


PLANT = """
import os, sys
os.umask(0)
os.mkdir(sys.argv[1])
os.symlink(sys.argv[2], sys.argv[1] + "/lock")
open(sys.argv[1] + "/env", "w").write("MYSQL_HOST=127.0.0.1")
"""


@needs_root
def test_a_folder_of_another_user_is_refused(service: Service) -> None:
    service.root.chmod(0o777)
    victim = service.folder / "victim"
    victim.write_text("precious")
    service.folder.chmod(0o755)
    as_stranger(PLANT, f"{service.root}/.dev", str(victim))
    done = service.sh("dev")
    assert (done.returncode, "belongs to another user" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr
    assert victim.read_text() == "precious"
    migrated = service.sh("migrate", "status")
    assert "belongs to another user" in migrated.stderr


def test_settings_of_dev_are_read_and_not_executed(service: Service, tmp_path: Path) -> None:
    file = service.root / ".dev/env"
    file.parent.mkdir(0o700)
    (file.parent / "lock").touch()
    file.write_text(f"MYSQL_HOST=$(touch {tmp_path}/executed)\n`touch {tmp_path}/executed`\n")
    with (file.parent / "lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        done = service.sh("migrate", "status")
    assert done.returncode == 1
    assert "MYSQL_HOST in environment: expected" in done.stderr
    assert not (tmp_path / "executed").exists()


@pytest.fixture
def neighbour() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("text", ["", "-1", "0", "1", "x", "{pid} {pid}", "1e9", "9" * 40])
def test_no_process_is_killed_for_what_a_pid_file_says(
    tmp_path: Path, neighbour: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda pid, number: killed.append(pid))
    monkeypatch.setattr("utils.dev.commands.PATIENCE", 0.1)
    file = tmp_path / "pid"
    file.write_text(text.format(pid=neighbour.pid))
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SystemExit, match="pid is locked"):
            spawn([sys.executable, "-c", "pass"], file)
    assert killed in ([], [int("9" * 40)])


@needs_root
def test_a_pid_file_of_another_user_is_refused(
    tmp_path: Path, neighbour: "subprocess.Popen[bytes]"
) -> None:
    file = tmp_path / "pid"
    file.write_text(str(neighbour.pid))
    os.chown(file, STRANGER, STRANGER)
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(PermissionError, match="belongs to another user"):
            spawn([sys.executable, "-c", "pass"], file)
    assert neighbour.poll() is None


def test_dev_ends_when_a_server_of_its_own_has(make_dev: Callable[[], Dev]) -> None:
    dev = make_dev()
    dev.await_line("pyserver is up")
    (pid,) = [p for p, line in processes_in(dev.service.root).items() if "redis-server" in line]
    os.kill(pid, 9)
    assert dev.process.wait(60) == 1
    dev.await_line("redis-server has ended: see ")
    wait_until(lambda: not alive(pid))
    assert processes_in(dev.service.root) == {}
