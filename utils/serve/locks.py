"""Locks that tell who is alive, whatever a pid file says; run.sh runs this with any Python 3.

    wait FD FILE SECONDS        lock the file that is open as FD, waiting for others
    holder FILE                 print the pid that holds the file's lock; exit with 1 if nobody does
    gone FILE SECONDS           wait until nobody does; exit with 1 if somebody still does

    session COMMAND ...         become the command, in a session of its own
    use ENVIRONMENT COMMAND ...                 with a shared lock of ENVIRONMENT/installed
    master RUN_DIR ENVIRONMENT COMMAND ...      and with the lock of RUN_DIR/master
    dev FILE COMMAND ...        become the command, with the settings of this file of dev's

All files are ours (utils/files.py): nobody else can lock them, or choose a pid by that. One that
is not, and a wait that was too long, is told and the exit status is 2.

They are record locks (fcntl): they survive exec, no child inherits them, they end with the process
however it ends, and the kernel names the holder. A link to the folder, another spelling and a new
name lead to the same file; a stranger with an old pid holds no lock. A process loses them by
closing *any* descriptor of the file, so nothing else opens these files. `wait` takes a flock
instead: that lock stays with the descriptor of its caller.
"""

import fcntl
import os
import shlex
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from utils.files import PRIVATE, check_path, make_folder, open_file, read_file, trusted, write_file

# struct flock: Linux has the type first, the BSDs and macOS have it last.
LINUX = sys.platform.startswith("linux")
LAYOUT = "hhqqi" if LINUX else "qqihh"
ANY = 0o777  # the mode of an environment's file is its maker's affair


def fail(message: str) -> NoReturn:
    sys.stderr.write(f"run.sh: {message}\n")
    sys.exit(2)


def holder(file: Path) -> int:
    """Return the pid of the process that holds a lock of the file, 0 if nobody does."""
    try:
        check_path(file.parent)
        fd = open_file(file, os.O_RDONLY, ANY)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}")
    try:
        query = (fcntl.F_WRLCK, 0, 0, 0, 0) if LINUX else (0, 0, 0, fcntl.F_WRLCK, 0)
        found = struct.unpack(LAYOUT, fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack(LAYOUT, *query)))
    finally:
        os.close(fd)
    kind, pid = (found[0], found[4]) if LINUX else (found[3], found[2])
    if kind == fcntl.F_UNLCK:
        return 0
    if pid <= 0:  # kill would take it for a process group
        fail(f"{file} is in use by a process of another container")
    if user_of(pid) not in trusted():  # opened when everybody could
        fail(f"{file} is locked by process {pid}, which another user runs")
    return int(pid)


def user_of(pid: int) -> int:
    """Return the user who runs the process; our own if that cannot be told."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return os.geteuid()
    return int(status.partition("\nUid:")[2].split()[0])


def gone(file: Path, seconds: float) -> bool:
    """Wait until nobody holds the file's lock; return whether that is so."""
    deadline = time.monotonic() + seconds
    while holder(file):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def hold(file: Path, kind: int) -> None:
    """Lock the file for as long as this process lives."""
    alone = kind == fcntl.LOCK_EX
    flags = os.O_RDWR | os.O_CREAT if alone else os.O_RDONLY
    fd = open_file(file, flags, PRIVATE if alone else ANY)
    os.set_inheritable(fd, True)
    fcntl.lockf(fd, kind | fcntl.LOCK_NB)


def wait(fd: int, file: str, seconds: float) -> None:
    """Lock an open file, or exit with the pids of all that have it open, as far as we may see."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                break
        time.sleep(0.05)
    own, opened = (os.getpid(), os.getppid()), os.fstat(fd)
    pids = {int(link.parts[2]) for link in Path("/proc").glob("[0-9]*/fd/*") if same(link, opened)}
    others = " ".join(map(str, sorted(pids.difference(own)))) or "another user's"
    fail(f"{file} is locked for more than {seconds:g} s by one of these processes: {others}")


def same(link: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(link.stat(), status)
    except OSError:
        return False


def session(*command: str) -> None:
    os.setsid()
    os.execvp(command[0], command)  # noqa: S606  that is the purpose, here and below


def use(environment: str, *command: str) -> None:
    hold(Path(environment, "installed"), fcntl.LOCK_SH)
    os.execvp(command[0], command)  # noqa: S606


def master(run_dir: str, environment: str, *command: str) -> None:
    """Take the lock, put new files in place of those that an earlier master left, and serve."""
    folder = Path(run_dir)
    try:
        make_folder(folder)
        hold(folder / "master", fcntl.LOCK_EX)
        write_file(folder / "new", "\0" * 4096)  # a full disk is told here, not by a traceback
        for name in ("new", "pid", "state", "refused", "environment", "supervisor"):
            (folder / name).unlink(missing_ok=True)
        (folder / "environment").symlink_to(environment)
        if server := os.environ.get("SUPERVISOR_SERVER_URL"):
            names = (os.environ[f"SUPERVISOR_{kind}_NAME"] for kind in ("GROUP", "PROCESS"))
            write_file(folder / "supervisor", f"{':'.join(names)}\n{server}\n")
    except BlockingIOError:
        sys.exit(f"run.sh: it is already running (pid {holder(folder / 'master')})")
    except OSError as error:
        sys.exit(f"run.sh: cannot write to {run_dir}: {error.strerror}")
    use(environment, *command)


def dev(file: str, *command: str) -> None:
    """Read the settings here: a shell would execute whatever is in the file."""
    for line in shlex.split(read_file(file)):
        name, _, value = line.partition("=")
        os.environ[name] = value
    os.execvp(command[0], command)  # noqa: S606


BECOME: dict[str, Any] = {"session": session, "use": use, "master": master, "dev": dev}


def main(verb: str, *arguments: str) -> None:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # or else Ctrl-C shows a traceback
    if verb == "wait":
        wait(int(arguments[0]), arguments[1], float(arguments[2]))
    elif verb == "holder":
        pid = holder(Path(arguments[0]))
        sys.stdout.write(f"{pid}\n")
        sys.exit(not pid)
    elif verb == "gone":
        sys.exit(not gone(Path(arguments[0]), float(arguments[1])))
    else:
        try:
            BECOME[verb](*arguments)
        except OSError as error:
            fail(f"cannot use {error.filename}: {error.strerror}")


if __name__ == "__main__":
    main(*sys.argv[1:])
