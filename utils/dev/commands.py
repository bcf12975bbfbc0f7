"""Programs that others make: have them, run them to their end, keep them running."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any


def require(programs: tuple[str, ...], packages: dict[str, str]) -> None:
    """Have these programs, or fail with the commands that install the packages they are in."""
    if have(programs):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {packages['apt']} ...", file=sys.stderr, flush=True)
        install = ["apt-get", "install", "-y", "--no-install-recommends", packages["apt"]]
        for command in (["apt-get", "update"], install):
            call(command, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    if not have(programs):
        missing = " and ".join(name for name in programs if not find(name))
        commands = [f"  {manager} install {name}" for manager, name in packages.items()]
        raise SystemExit("\n".join([f"{missing}: not found; install it with one of", *commands]))


def have(programs: tuple[str, ...]) -> bool:
    """Tell whether all of these programs are here."""
    return all(find(name) for name in programs)


def find(program: str) -> str | None:
    """Return where a program is; Debian's users and Fedora lack a server's folder in PATH."""
    places = [os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/libexec"]
    return shutil.which(program, path=os.pathsep.join(places))


def call(command: list[str], **options: Any) -> None:
    """Run a command to its end, also at a Ctrl-C; fail with what it printed if it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, start_new_session=True, **options
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def spawn(command: list[str], pid_file: Path, **options: Any) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own; end one that a killed caller left.

    Who runs has the pid file locked: the lock ends with the last of its processes, so that a pid
    that meanwhile is somebody else's is never signalled.
    """
    with pid_file.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            os.killpg(int(file.read()), signal.SIGKILL)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        process = subprocess.Popen(
            command, start_new_session=True, pass_fds=[file.fileno()], **options
        )
        file.write(str(process.pid))
    return process
