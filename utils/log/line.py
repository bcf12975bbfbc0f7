"""The form of a log line: as text for people, or as JSON for programs."""

import json
import logging
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from conf import ROOT
from utils.context import request_uuid


def escape_unprintable(
    text: str, escape: Callable[[str], str] = lambda char: char.encode("unicode_escape").decode()
) -> str:
    """Escape what could forge or hide a line: control, separator and bidirectional characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else escape(char) for char in text)


@cache
def short_path(pathname: str) -> str:
    """Return how a source file is named in the log.

    `mysql/pool.py` is in utils/, `server.py` in the project's folder, `gunicorn/glogging.py` in a
    folder that Python imports from.
    """
    path = Path(pathname)
    # The longest first: .venv with the packages may be in the project's folder.
    for folder in sorted([str(ROOT / "utils"), str(ROOT), *sys.path], key=len, reverse=True):
        if folder and path.is_relative_to(folder):
            return str(path.relative_to(folder))
    return pathname


def message_of(record: logging.LogRecord) -> str:
    """Return the message, also if the arguments do not fit it: logging would drop the line."""
    try:
        return record.getMessage()
    except Exception as error:
        return f"{record.msg!r} cannot be formatted: {error!r}"


class LineFormatter(logging.Formatter):
    """time level pid uuid file:line message; a traceback follows on indented lines."""

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
        text = self.formatException(record.exc_info) if record.exc_info else ""
        return f"{text}\n{record.stack_info}".strip("\n") if record.stack_info else text

    def format(self, record: logging.LogRecord) -> str:
        message = escape_unprintable(message_of(record))
        head = (
            f"{self.time(record.created)} {record.levelname} {record.process} {request_uuid.get()} "
            f"{short_path(record.pathname)}:{record.lineno} {message}"
        )
        trace = self.traceback(record)
        if not trace:
            return head
        return "\n  | ".join([head, *map(escape_unprintable, trace.split("\n"))])


class JSONFormatter(LineFormatter):
    """One JSON object a line; the `fields` of a record are fields of its object."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": self.time(record.created),
            "level": record.levelname,
            "pid": record.process,
            "uuid": request_uuid.get(),
            "at": f"{short_path(record.pathname)}:{record.lineno}",
            "message": message_of(record),
            **getattr(record, "fields", {}),
        }
        if trace := self.traceback(record):
            entry["traceback"] = trace
        # Not msgspec: it refuses lone surrogates, and what a client sends must not cost the line.
        line = json.dumps(entry, ensure_ascii=False, default=str)
        return escape_unprintable(line, lambda char: json.dumps(char)[1:-1])
