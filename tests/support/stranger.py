"""Another user of this machine, with processes of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STRANGER = 54_321  # a user id that no account has: a clone may belong to "nobody"

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can run a process as another user"
)

# Print whatever another user can do with the files in these folders, a line each.
ATTACK = """
import fcntl, os, socket, sys

def attempt(word, path, act):
    try:
        act()
    except OSError:
        return
    print(word, path)

def lock(path, call):
    fd = os.open(path, os.O_RDONLY)
    call(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)

for path in sys.argv[1:]:
    name = os.path.join(path, "planted")
    if path.endswith("/"):
        attempt("list", path, lambda: os.listdir(path))
        attempt("make a file in", path, lambda: os.open(name, os.O_CREAT | os.O_WRONLY))
        attempt("make a link in", path, lambda: os.symlink("/etc/passwd", name))
        attempt("rename", path, lambda: os.rename(path, path.rstrip("/") + ".old"))
        continue
    attempt("read", path, lambda: os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    attempt("write", path, lambda: os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    attempt("flock", path, lambda: lock(path, fcntl.flock))
    attempt("lock", path, lambda: lock(path, fcntl.lockf))
    attempt("delete", path, lambda: os.unlink(path))
    attempt("connect to", path, lambda: socket.socket(socket.AF_UNIX).connect(path))
"""


def python() -> str:
    """Return a Python that every user may run."""
    return shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable


def start_as_stranger(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start Python code as another user, who is in no group of ours."""
    return subprocess.Popen(
        [python(), "-c", code, *arguments],
        user=STRANGER,
        group=STRANGER,
        extra_groups=[],
        cwd="/",
        env={},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def as_stranger(code: str, *arguments: str) -> str:
    """Run Python code as another user, and return what it prints."""
    return start_as_stranger(code, *arguments).communicate(timeout=60)[0]


def attack(*folders: Path) -> list[str]:
    """Return what another user can do to these folders and all that is in them."""
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    assert len(paths) > len(folders)
    words = [f"{path}/" if path.is_dir() else str(path) for path in paths]
    return as_stranger(ATTACK, *words).splitlines()
