"""Finds, installs and runs external programs."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from utils.files import open_file

# Debian's users and Fedora lack the folders of servers in PATH.
PLACES = ("/usr/sbin", "/usr/libexec")

# One binary, which looks at the name it is called by; Debian's redis-tools has it under this one.
SAME_AS = {"redis-server": "redis-check-rdb"}

PATIENCE = 10.0  # seconds until killed processes have ended

# Debian's, whose names differ from the program's; those without a service: mariadb-server and
# redis-server start one, at once and at every boot.
MARIADB = "mariadb-server-core mariadb-client-core"
PACKAGES = {"mariadbd": MARIADB, "mariadb-install-db": MARIADB, "redis-server": "redis-tools"}


def which(program: str) -> str | None:
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), *PLACES])
    found = shutil.which(program, path=places)
    return found or shutil.which(SAME_AS.get(program, program), path=places)


def packages(programs: Iterable[str]) -> list[str]:
    """Return the packages that hold these programs, each once."""
    names = " ".join(PACKAGES.get(program, program) for program in programs)
    return list(dict.fromkeys(names.split()))


def ensure_installed(*programs: str) -> None:
    """Ensure that these programs are here, or exit with the commands that install them.

    As root on Debian it installs them, unless NO_INSTALL is set.
    """
    missing = [program for program in programs if not which(program)]
    allowed = os.environ.get("NO_INSTALL", "0") in ("", "0")
    if missing and allowed and os.geteuid() == 0 and shutil.which("apt-get"):
        install(packages(missing))
        missing = [program for program in programs if not which(program)]
    if missing:
        names = " ".join(packages(missing))
        raise SystemExit(f"not installed: {', '.join(missing)}; on Debian: apt install {names}")


def install(names: list[str]) -> None:
    """Install packages of Debian: nothing is removed for them, and no service is started."""
    print(f"Installing {' '.join(names)} by apt-get (NO_INSTALL=1 forbids it) ...", file=sys.stderr)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_OFFLINE": "1"}
    run(["apt-get", "update"], env=env)
    run(["apt-get", "install", "-y", "--no-remove", "--no-install-recommends", *names], env=env)


def run(command: list[str], **options: Any) -> None:
    """Run a command to its end, also at a Ctrl-C; exit with what it printed if it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, start_new_session=True, **options
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def spawn(command: list[str], pid_file: Path, **options: Any) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own; end one that a killed caller left.

    The processes hold the pid file's lock, which ends with the last of them: a pid that is another
    process's by now is never signalled. Nobody else can lock the file or write to it.
    """
    with os.fdopen(open_file(pid_file, os.O_RDWR | os.O_CREAT), "r+") as file:
        if not locked(file):
            kill_session(file.read())
            deadline = time.monotonic() + PATIENCE
            while not locked(file):
                if time.monotonic() > deadline:
                    raise SystemExit(f"{pid_file} is locked: a process holds it that is not known")
                time.sleep(0.02)
        file.seek(0)
        file.truncate()
        process = subprocess.Popen(
            command, start_new_session=True, pass_fds=[file.fileno()], **options
        )
        file.write(str(process.pid))
    return process


def locked(file: TextIO) -> bool:
    """Lock the file; return whether that could be done."""
    with suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def kill_session(pid: str) -> None:
    """Kill the processes of a session, by the pid of its first one."""
    with suppress(ValueError, OverflowError, ProcessLookupError):
        if int(pid) > 1 and os.getsid(0) != int(pid):  # killpg(1) would be kill(-1): all there are
            os.killpg(int(pid), signal.SIGKILL)
