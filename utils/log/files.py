"""Logs: a service log and an error log by day, which all workers write together."""

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from conf.current import settings
from utils.context import request_uuid

logger = logging.getLogger("pyserver")


def printable(text: str) -> str:
    """Escape what could forge or hide a line: control, separator and bidirectional characters."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


class LineFormatter(logging.Formatter):
    """time level pid uuid module:line message; a traceback follows on indented lines."""

    def __init__(self) -> None:
        super().__init__()
        self.second = 0
        self.clock = self.zone = ""

    def time(self, created: float) -> str:
        """Return the local time in ISO 8601 with milliseconds and zone."""
        second = int(created)
        if second != self.second:
            local = time.localtime(second)
            self.clock = time.strftime("%Y-%m-%dT%H:%M:%S", local)
            self.zone = time.strftime("%z", local)
            self.second = second
        return f"{self.clock}.{int((created - second) * 1000):03d}{self.zone}"

    def traceback(self, record: logging.LogRecord) -> str:
        """Return the record's traceback, or nothing."""
        text = self.formatException(record.exc_info) if record.exc_info else ""
        return f"{text}\n{record.stack_info}".strip("\n") if record.stack_info else text

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        head = (
            f"{self.time(record.created)} {record.levelname} {record.process} {request_uuid.get()} "
            f"{record.module}:{record.lineno} {printable(record.getMessage())}"
        )
        trace = self.traceback(record)
        return "\n  | ".join([head, *map(printable, trace.split("\n"))]) if trace else head


class JSONFormatter(LineFormatter):
    """One JSON object a line, the request's own figures as fields of their own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        entry: dict[str, Any] = {
            "time": self.time(record.created),
            "level": record.levelname,
            "pid": record.process,
            "uuid": request_uuid.get(),
            "at": f"{record.module}:{record.lineno}",
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if trace := self.traceback(record):
            entry["traceback"] = trace
        return json.dumps(entry, ensure_ascii=False, default=str)


class DailyFileHandler(logging.Handler):
    """A file a day, named by its date, that any number of processes append to.

    Each record is one write to a file opened with O_APPEND, so that lines stay whole and
    nobody has to rename a file under the others: rotation is opening the next name.
    """

    def __init__(self, folder: Path, name: str, keep_days: int, period: str = "%Y-%m-%d") -> None:
        super().__init__()
        self.folder, self.name, self.keep_days, self.period = folder, name, keep_days, period
        self.second = self.file = -1
        self.path = folder

    def emit(self, record: logging.LogRecord) -> None:
        """Append the record; a fault goes to stderr and not to the caller."""
        try:
            line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
            self.open(int(record.created))
            os.write(self.file, line)
        except Exception:
            self.handleError(record)

    def open(self, second: int) -> None:
        """Have the file of this second's period open, also after someone deleted it."""
        if second == self.second:
            return
        path = self.folder / f"{self.name}-{time.strftime(self.period, time.localtime(second))}.log"
        if path != self.path or not path.exists():
            self.close_file()
            self.folder.mkdir(parents=True, exist_ok=True)
            self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self.path = path
            self.remove_old()
        self.second = second

    def remove_old(self) -> None:
        """Remove the files that nobody has written to for `keep_days`."""
        oldest = time.time() - self.keep_days * 86400
        for path in self.folder.glob(f"{self.name}-*.log"):
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
            except FileNotFoundError:  # another worker was faster
                continue

    def close_file(self) -> None:
        """Close the file that is open, if any."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def close(self) -> None:
        """Close the file and forget the handler."""
        self.close_file()
        super().close()


def setup() -> None:
    """Send this process's logs, gunicorn's and the libraries' among them, to LOG_DIR."""
    formatter = JSONFormatter() if settings.log.format == "json" else LineFormatter()
    folder = Path(settings.log.dir)
    service = DailyFileHandler(folder, "service", settings.log.keep_days)
    errors = DailyFileHandler(folder, "error", settings.log.keep_days)
    errors.setLevel(logging.ERROR)
    for handler in (service, errors):
        handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log.level, handlers=[service, errors], force=True)
    logging.getLogger("gunicorn.error").propagate = True
