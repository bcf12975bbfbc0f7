"""Locks that tell who is alive, whatever a pid file says; run.sh runs this with any Python 3.

    locks.py wait FD                    lock the file that is open as FD, waiting for others
    locks.py holder FILE                print the pid that holds the file's lock, or exit with 1
    locks.py gone FILE SECONDS          wait until nobody does; exit with 1 if somebody still does

    locks.py session COMMAND ...        become the command, in a session of its own
    locks.py use ENVIRONMENT COMMAND ...                with a shared lock of ENVIRONMENT/installed
    locks.py master RUN_DIR ENVIRONMENT COMMAND ...     and with the lock of RUN_DIR/master

These are record locks (fcntl): they survive exec, no child inherits them, they end with the
process however it ends, and the kernel names the holder. A link to the folder, another spelling
and a new name lead to the same file; a stranger with an old pid holds no lock. A process loses
them by closing *any* descriptor of the file, so nothing else opens these files. `wait` takes
a flock instead: that lock stays with the descriptor of its caller.
"""

import fcntl
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

# struct flock: Linux has the type first, the BSDs and macOS have it last.
LINUX = sys.platform.startswith("linux")
LAYOUT = "hhqqi" if LINUX else "qqihh"


def holder(file: Path) -> int:
    """Return the pid of the process that holds a lock of the file, 0 if nobody does."""
    try:
        fd = os.open(file, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        sys.exit(f"run.sh: cannot read {file}: {error.strerror}")
    try:
        query = (fcntl.F_WRLCK, 0, 0, 0, 0) if LINUX else (0, 0, 0, fcntl.F_WRLCK, 0)
        found = struct.unpack(LAYOUT, fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack(LAYOUT, *query)))
    finally:
        os.close(fd)
    kind, pid = (found[0], found[4]) if LINUX else (found[3], found[2])
    if kind == fcntl.F_UNLCK:
        return 0
    if pid <= 0:  # kill would take it for a process group
        sys.exit(f"run.sh: {file} is in use by a process of another container")
    return int(pid)


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
    fd = os.open(file, os.O_RDWR | os.O_CREAT if kind == fcntl.LOCK_EX else os.O_RDONLY, 0o644)
    os.set_inheritable(fd, True)
    fcntl.lockf(fd, kind | fcntl.LOCK_NB)


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
        folder.mkdir(parents=True, exist_ok=True)
        hold(folder / "master", fcntl.LOCK_EX)
        (folder / "new").write_bytes(bytes(4096))  # a full disk is told here, not by a traceback
        for name in ("new", "pid", "state", "refused", "environment", "supervisor"):
            (folder / name).unlink(missing_ok=True)
        (folder / "environment").symlink_to(environment)
        if server := os.environ.get("SUPERVISOR_SERVER_URL"):
            names = (os.environ[f"SUPERVISOR_{kind}_NAME"] for kind in ("GROUP", "PROCESS"))
            (folder / "supervisor").write_text(f"{':'.join(names)}\n{server}\n")
    except BlockingIOError:
        sys.exit(f"run.sh: it is already running (pid {holder(folder / 'master')})")
    except OSError as error:
        sys.exit(f"run.sh: cannot write to {run_dir}: {error.strerror}")
    use(environment, *command)


BECOME: dict[str, Callable[..., None]] = {"session": session, "use": use, "master": master}


def main(verb: str, *arguments: str) -> None:
    """Do what the command line says."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # or else Ctrl-C shows a traceback
    if verb == "wait":
        fcntl.flock(int(arguments[0]), fcntl.LOCK_EX)
    elif verb == "holder":
        pid = holder(Path(arguments[0]))
        sys.stdout.write(f"{pid}\n")
        sys.exit(not pid)
    elif verb == "gone":
        sys.exit(not gone(Path(arguments[0]), float(arguments[1])))
    else:
        BECOME[verb](*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
