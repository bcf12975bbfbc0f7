"""The lock of .dev, which one `sh run.sh dev` holds as long as it lives."""

import fcntl
from typing import TextIO

from utils.dev import DEV


def lock() -> TextIO | None:
    """Return the file whose lock is ours until it is closed; None if another dev holds it."""
    DEV.mkdir(mode=0o700, exist_ok=True)
    DEV.chmod(0o700)
    file = (DEV / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def is_running() -> bool:
    """Return whether `sh run.sh dev` is running here."""
    if file := lock():
        file.close()
    return file is None
