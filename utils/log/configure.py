"""Sends the log lines of a process, gunicorn's and the libraries' among them, to LOG_DIR."""

import logging
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from conf.current import settings
from utils.files import LOG, open_file
from utils.log.daily import DailyFile
from utils.log.handler import STDOUT, Console, LineHandler
from utils.log.line import JSONFormatter, LineFormatter

logger = logging.getLogger("pyserver")
CONSOLE_LIMIT = 10_000_000  # bytes


def make_handlers() -> list[LineHandler]:
    """Return the handlers of LOG_DIR: all lines in one file, errors also in another one."""
    if settings.log.dir == "-":
        return [Console()]
    folder, days = Path(settings.log.dir), settings.log.keep_days
    service, errors = DailyFile(folder, "service", days), DailyFile(folder, "error", days)
    errors.setLevel(logging.ERROR)
    return [service, errors]


def setup() -> None:
    """Configure the logs of this process; again after a fork or a change of the settings."""
    handlers = make_handlers()
    formatter = JSONFormatter() if settings.log.format == "json" else LineFormatter()
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log.level, handlers=handlers, force=True)
    # No line has any of it, and to collect it takes time (logging HOWTO, Optimization).
    logging.logThreads = logging.logMultiprocessing = False
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # what is less severe contains URLs
    gunicorn = logging.getLogger("gunicorn.error")
    gunicorn.propagate = True
    if settings.log.dir == "-":
        gunicorn.handlers.clear()  # its own handler writes the same lines, in another form


def check() -> None:
    """Exit with the reason if LOG_DIR cannot be written."""
    for handler in make_handlers():
        try:
            handler.write(b"", time.time())
        except OSError as error:
            raise SystemExit(
                f"LOG_DIR={settings.log.dir}: cannot write {error.filename}: {error.strerror}"
            ) from None
        finally:
            handler.close()


def reopen() -> None:
    """Close the log files, which frees what was rotated away; the next line opens them anew."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, DailyFile):
            handler.reopen()


def bound_console() -> None:
    """Move what console.log, which is $CONSOLE, has to console.log.1 above CONSOLE_LIMIT."""
    # It is copied and emptied, not renamed: it is the stdout of all processes.
    path = Path(os.environ.get("CONSOLE", os.devnull))
    with suppress(OSError):
        stdout = os.fstat(STDOUT)
        if stdout.st_size < CONSOLE_LIMIT:
            return
        aside = path.with_name(f"{path.name}.1")
        with os.fdopen(open_file(path, os.O_RDONLY, LOG), "rb") as console:
            if os.path.samestat(stdout, os.fstat(console.fileno())):
                aside.unlink(missing_ok=True)
                new = open_file(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, LOG)
                with os.fdopen(new, "wb") as copy:
                    shutil.copyfileobj(console, copy)
                os.ftruncate(STDOUT, 0)
