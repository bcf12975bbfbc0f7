"""Handlers that write whole lines, and that never fail or delay the code that logs."""

import logging
import os
import time
from contextlib import suppress

from conf.current import settings
from utils.text import escape_unprintable

STDOUT, STDERR = 1, 2
QUIET = 60.0  # seconds between two complaints on stderr


class LineHandler(logging.Handler):
    """Writes each record at once; what cannot be written is lost, and counted.

    The first loss is told on stderr. The log itself tells how many lines are missing as soon as it
    can be written again, for logging's own way, a traceback a line on stderr, fills the next disk.
    """

    complained = -QUIET  # for all handlers of the process, in seconds of time.monotonic()

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0
        self.reason = ""

    def write(self, data: bytes, created: float) -> None:
        """Write all of the data, or raise."""
        raise NotImplementedError

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
            if self.lost:
                line = f"{self.notice()}\n{line}"
            self.write(f"{line}\n".encode("utf-8", "backslashreplace"), record.created)
            self.lost = 0
        except Exception as error:
            self.lose(str(error))

    def notice(self) -> str:
        message = f"{self.lost} log lines were lost here: {self.reason}"
        record = logging.LogRecord("pyserver", logging.ERROR, __file__, 1, message, (), None)
        return self.format(record)

    def lose(self, reason: str) -> None:
        self.lost += 1
        self.reason = reason
        now = time.monotonic()
        if now < LineHandler.complained + QUIET:
            return
        LineHandler.complained = now
        text = f"{settings.service_name} (pid {os.getpid()}): log lines are lost: {reason}"
        with suppress(OSError):  # there is no other place to tell it
            os.write(STDERR, f"{escape_unprintable(text)}\n".encode())


class Console(LineHandler):
    """Writes to stdout: in a pipe, lines of up to 4096 bytes stay whole (PIPE_BUF)."""

    def write(self, data: bytes, created: float) -> None:
        write_all(STDOUT, data)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of the data: a disk that runs full takes a part, and refuses only the rest."""
    while data:
        data = data[os.write(descriptor, data) :]
