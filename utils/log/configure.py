"""Sends the log lines of a process, gunicorn's and the libraries' among them, to LOG_DIR."""

import logging
import time
from pathlib import Path

from conf.current import settings
from utils.log.console import Console
from utils.log.daily import DailyFile
from utils.log.handler import LineHandler
from utils.log.line import JSONFormatter, LineFormatter

logger = logging.getLogger("pyserver")


def daily_files() -> list[DailyFile]:
    """Return the handlers of LOG_DIR: all lines in one file, errors also in another one."""
    folder, days = Path(settings.log.dir), settings.log.keep_days
    service, errors = DailyFile(folder, "service", days), DailyFile(folder, "error", days)
    errors.setLevel(logging.ERROR)
    return [service, errors]


def setup() -> None:
    """Configure the logs of this process; again after a fork or a change of the settings."""
    to_console = settings.log.dir == "-"
    handlers: list[LineHandler] = [Console()] if to_console else [*daily_files()]
    formatter = JSONFormatter() if settings.log.format == "json" else LineFormatter()
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log.level, handlers=handlers, force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # what is less severe contains URLs
    gunicorn = logging.getLogger("gunicorn.error")
    gunicorn.propagate = True
    if to_console:
        gunicorn.handlers.clear()  # its own handler writes the same lines, in another form


def check() -> None:
    """Exit with the reason if LOG_DIR cannot be written, for a start that nobody can follow."""
    if settings.log.dir == "-":
        return
    for handler in daily_files():
        try:
            handler.write(b"", time.time())
        except OSError as error:
            raise SystemExit(
                f"LOG_DIR={settings.log.dir}: cannot write {handler.path}: {error.strerror}"
            ) from None
        finally:
            handler.close()


def reopen() -> None:
    """Close the log files, which frees what was rotated away; the next line opens them anew."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, DailyFile):
            handler.reopen()
