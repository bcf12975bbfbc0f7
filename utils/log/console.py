"""stdout as the log, and the file that `start` sends it to."""

import os
import shutil
from contextlib import suppress

from utils.log.handler import LineHandler, write_all

STDOUT = 1
LIMIT = 10_000_000  # bytes of console.log


class Console(LineHandler):
    """Writes to stdout, as containers and people at a terminal want it.

    In a pipe, lines of up to 4096 bytes stay whole among those of other processes (PIPE_BUF).
    """

    def write(self, data: bytes, created: float) -> None:
        write_all(STDOUT, data)


def bound_console() -> None:
    """Put aside what console.log has when it is large: what is printed into it has no end.

    It is copied and emptied, not renamed: it is the stdout of all processes. $CONSOLE is its path.
    """
    path, status = os.environ.get("CONSOLE", ""), os.fstat(STDOUT)
    if not path or status.st_size < LIMIT:
        return
    with suppress(OSError):
        if os.path.samestat(os.stat(path), status):  # noqa: PTH116
            shutil.copyfile(path, f"{path}.1")
            os.truncate(path, 0)
