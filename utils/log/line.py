"""The form of a log line: as text for people, or as JSON for programs."""

import json
import logging
import sys
import time
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from conf import ROOT
from utils.context import request_uuid
from utils.text import escape_unprintable


@cache
def short_path(pathname: str) -> str:
    """Return a source file's path below utils/, the project or what Python imports from."""
    # The longest of these folders counts: .venv with the packages may be in the project's folder.
    path = Path(pathname)
    for folder in sorted([str(ROOT / "utils"), str(ROOT), *sys.path], key=len, reverse=True):
        if folder and path.is_relative_to(folder):
            return str(path.relative_to(folder))
    return pathname


@lru_cache(1)
def local_time(second: int) -> tuple[str, str]:
    """Return date and time, and the zone; kept, for they cost as much as the rest of a line."""
    local = time.localtime(second)
    return time.strftime("%Y-%m-%dT%H:%M:%S", local), time.strftime("%z", local)


def message_of(record: logging.LogRecord) -> str:
    """Return the message, also if the arguments do not fit it: logging would drop the line."""
    try:
        return record.getMessage()
    except Exception as error:
        return f"{record.msg!r} cannot be formatted: {error!r}"


class LineFormatter(logging.Formatter):
    """time level pid uuid file:line message; a traceback follows on indented lines."""

    def time(self, created: float) -> str:
        """Return the local time in ISO 8601 with milliseconds and zone."""
        clock, zone = local_time(int(created))
        return f"{clock}.{int(created % 1 * 1000):03d}{zone}"

    def traceback(self, record: logging.LogRecord) -> str:
        """Return the lines below the head; `trace` is that of another process."""
        text = self.formatException(record.exc_info) if record.exc_info else ""
        texts = (text, record.stack_info, getattr(record, "trace", ""))
        return "\n".join(filter(None, texts)).strip("\n")

    def format(self, record: logging.LogRecord) -> str:
        head = escape_unprintable(
            f"{self.time(record.created)} {record.levelname} {record.process} {request_uuid.get()} "
            f"{short_path(record.pathname)}:{record.lineno} {message_of(record)}"
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
