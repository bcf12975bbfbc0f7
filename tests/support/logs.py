"""What a log line looks like."""

import logging
import re

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} "
    r"(DEBUG|INFO|WARNING|ERROR) \d+ \S+ \S+:\d+ .*"
)


def record(
    message: str, *args: object, level: int = logging.INFO, path: str = "/x/module.py"
) -> logging.LogRecord:
    """Return a record as a call of the logger in line 7 of this file makes one."""
    return logging.LogRecord("test", level, path, 7, message, args, None)
