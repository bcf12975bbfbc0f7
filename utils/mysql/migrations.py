"""The schema: `sh run.sh migrate` applies the files of conf/migrations/ that are pending.

`0001_create_orders.sql` is a migration; each is applied once, in the order of the numbers.
docs/mysql.md says what is all or nothing.
"""

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()  # the limit for a login is a timeout of gevent's

import argparse
import re
import signal
import sys
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import gevent
from pymysql import MySQLError
from pymysql.constants import ER

from conf import ROOT
from conf.current import settings
from utils.errors import UnavailableError
from utils.log import logger
from utils.mysql.apply import Migration, MigrationError, connect, query
from utils.mysql.connection import Connection
from utils.mysql.queries import mysql
from utils.mysql.rows import Row

FOLDER = ROOT / "conf/migrations"
TABLE = """CREATE TABLE IF NOT EXISTS migrations (
    number SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    checksum CHAR(64) NOT NULL,
    applied DATETIME(3) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4"""
DUMP = re.compile(rb"(?:/\*M!999999.*\n)?-- (?:MySQL|MariaDB) dump ")
FIX = "undo that, or fix the schema by hand and its row in the table `migrations`"
FAULTS = (MigrationError, MySQLError, UnavailableError, OSError)


def known() -> dict[str, str]:
    """Return the text of each migration of the folder by name, in their order."""
    texts = {}
    for path in sorted(FOLDER.glob("[!.]*.[sS][qQ][lL]")):
        if not re.fullmatch(r"[0-9]{4}_[a-z0-9_]+\.sql", path.name):
            raise MigrationError(f"{path.name}: expected a name like 0001_create_orders.sql")
        texts[path.name] = read(path)
    for one, other in pairwise(texts):
        if one[:4] == other[:4]:
            raise MigrationError(f"{one} and {other} have the same number")
    return texts


def read(path: Path) -> str:
    """Return a file's text with the ends of lines of Unix, and without a byte order mark.

    In a dump, mysqldump has written the bytes of BLOBs as they are: these come as surrogates
    (PEP 383), and go to MySQL as they were.
    """
    try:
        content = path.read_bytes()
        errors = "surrogateescape" if DUMP.match(content) else "strict"
        return content.decode("utf-8-sig", errors).replace("\r\n", "\n")
    except OSError as error:
        raise MigrationError(f"{path.name}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise MigrationError(f"{path.name}, line {line}: not UTF-8 ({error.reason})") from None


def applied(query: Callable[[str], list[Row]]) -> dict[str, Row]:
    """Return the rows of the table by name; there are none before its first use."""
    try:
        return {row["name"]: row for row in query("SELECT * FROM migrations")}
    except MySQLError as error:
        if error.args[0] != ER.NO_SUCH_TABLE:
            raise
        return {}


def pending(texts: dict[str, str], done: dict[str, Row]) -> list[str]:
    """Return what is to be applied, unless what was applied is not what the folder has."""
    for name, row in done.items():
        if name not in texts:
            raise MigrationError(f"{name} is applied and missing from {FOLDER}: {FIX}")
        if row["checksum"] != checksum(texts[name]):
            raise MigrationError(f"{name} has changed since it was applied: {FIX}")
    return [name for name in texts if name not in done]


def checksum(text: str) -> str:
    """Return what tells whether a file has changed, whatever its lines end with."""
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def lock(connection: Connection, seconds: float) -> None:
    """Keep other hosts out; the server lets them in when this connection ends."""
    query(connection, "SET wait_timeout = 31536000")  # it idles while the migrations run
    name = f"migrations of {settings.mysql.database}"[:64]
    if not query(connection, "SELECT GET_LOCK(%s, %s) AS got", name, seconds)[0]["got"]:
        raise MigrationError(f"another migrate is still at work after {seconds:g} s")


def migrate(wait: float) -> None:
    """Apply what is pending, one `migrate` at a time, and print a line for each."""
    texts = known()
    connection = connect()
    lock(connection, wait)
    query(connection, TABLE)
    todo = [
        Migration(name, texts[name], checksum(texts[name]))
        for name in pending(texts, applied(partial(query, connection)))
    ]
    for migration in todo:
        migration.apply(wait, partial(print, file=sys.stderr, flush=True))
        print(f"applied {migration.name}", flush=True)
    if not todo:
        print("the schema is up to date")


def status() -> None:
    """Print each migration with the time it was applied, or as pending."""
    texts, done = known(), applied(partial(query, connect()))
    for name in sorted({*texts, *done}):
        print(f"{done[name]['applied']:%Y-%m-%d %H:%M:%S} UTC" if name in done else "pending", name)
    pending(texts, done)


def warn_if_behind() -> None:
    """Log a warning if the schema is not what this code knows, or if MySQL is down."""
    if not settings.mysql.host:
        return
    try:
        names, done = known().keys(), applied(mysql.rows).keys()
    except FAULTS as error:
        logger.warning("cannot find out whether the schema is behind: %s", error)
        return
    if behind := ", ".join(sorted(names - done)):
        logger.warning("the schema is behind: run sh run.sh migrate; pending: %s", behind)
    if ahead := ", ".join(sorted(done - names)):
        logger.warning("the schema is ahead of this code, which lacks %s", ahead)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="sh run.sh migrate")
    parser.add_argument("verb", nargs="?", choices=["status"])
    parser.add_argument(
        "--wait", type=float, default=60, help="seconds to wait for another one, or for a lock"
    )
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # Python's own would be printed by gevent
        gevent.signal_handler(number, gevent.kill, gevent.getcurrent(), KeyboardInterrupt)
    try:
        if arguments.verb == "status":
            status()
        else:
            migrate(arguments.wait)
    except FAULTS as error:
        raise SystemExit(f"migrate: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("migrate: interrupted") from None
    except Exception as error:  # a fault of ours; an operator is no better off with a traceback
        raise SystemExit(f"migrate: {type(error).__name__}: {error}") from None


if __name__ == "__main__":
    main()
