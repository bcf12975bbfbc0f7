"""Handlers that write whole lines, and that never fail or delay the code that logs."""

import logging
import os
import time
from contextlib import suppress

STDERR = 2
QUIET = 60.0  # seconds between two complaints on stderr


class LineHandler(logging.Handler):
    """Writes each record at once; what cannot be written is lost, and counted.

    The first loss is told on stderr. The log itself tells how many lines are missing as soon as it
    can be written again, for logging's own way, a traceback a line on stderr, fills the next disk.
    """

    complained = -QUIET  # for all handlers of the process, in seconds of time.monotonic()

    def __init__(self) -> None:
        super().__init__()
        self.pid = os.getpid()
        self.lost = 0
        self.reason = ""

    def write(self, data: bytes, created: float) -> None:
        """Write all of the data, or raise."""
        raise NotImplementedError

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
            if self.lost:
                line = f"{self.format(self.notice(record.created))}\n{line}"
            self.write(f"{line}\n".encode("utf-8", "backslashreplace"), record.created)
        except Exception as error:
            self.lose(error)
        else:
            self.lost = 0

    def lose(self, error: Exception) -> None:
        """Count a record that is lost."""
        self.lost += 1
        self.reason = str(error)
        now = time.monotonic()
        if now >= LineHandler.complained + QUIET:
            LineHandler.complained = now
            self.complain(f"log lines are lost: {self.reason}")

    def notice(self, created: float) -> logging.LogRecord:
        """Return the record that tells of the lost ones."""
        message = f"{self.lost} log lines were lost here: {self.reason}"
        record = logging.LogRecord("pyserver", logging.ERROR, __file__, 1, message, (), None)
        record.created = created
        return record

    def complain(self, message: str) -> None:
        with suppress(OSError):  # there is no other place to tell it
            text = f"pyserver (pid {os.getpid()}): {message}\n"
            os.write(STDERR, text.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Tell of lines that were lost for good; a worker closes the handlers of its master too."""
        if self.lost and self.pid == os.getpid():
            self.complain(f"{self.lost} log lines were lost: {self.reason}")
            self.lost = 0
        super().close()


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of the data: a disk that runs full takes a part, and refuses only the rest."""
    while data:
        data = data[os.write(descriptor, data) :]
