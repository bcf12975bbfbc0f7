"""The schema: `sh run.sh migrate` applies the files of conf/migrations/ that are pending.

`0001_create_orders.sql` is a step; each is applied once, in the order of the numbers. MySQL commits
each change of a schema by itself: a file that fails half way is not recorded and has to be mended
by hand, so put no more than one such statement into a file. A file without any is all or nothing.
"""

import argparse
import re
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pymysql
from pymysql import MySQLError
from pymysql.constants import CLIENT, ER
from pymysql.cursors import DictCursor

from conf import ROOT
from conf.current import settings
from utils.errors import UnavailableError
from utils.log import logger
from utils.mysql.connection import options
from utils.mysql.queries import mysql
from utils.mysql.rows import Row

FOLDER = ROOT / "conf/migrations"
TABLE = """CREATE TABLE IF NOT EXISTS migrations (
    number SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    checksum CHAR(64) NOT NULL,
    applied DATETIME(3) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4"""
MEND = "undo that, or mend the schema by hand and its row in the table `migrations`"


class MigrationError(Exception):
    """The schema cannot be brought up to date; the message says why."""


FAULTS = (MigrationError, MySQLError, UnavailableError)


def known() -> dict[str, str]:
    """Return the text of each migration of the folder by name, in their order."""
    texts = {}
    for path in sorted(FOLDER.glob("[!.]*.[sS][qQ][lL]")):
        if not re.fullmatch(r"[0-9]{4}_[a-z0-9_]+\.sql", path.name):
            raise MigrationError(f"{path.name}: expected a name like 0001_create_orders.sql")
        try:
            texts[path.name] = path.read_text("utf-8-sig")
        except (OSError, UnicodeError) as error:
            raise MigrationError(f"{path.name}: {error}") from None
    for one, other in pairwise(texts):
        if one[:4] == other[:4]:
            raise MigrationError(f"{one} and {other} have the same number")
    return texts


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
            raise MigrationError(f"{name} is applied and missing from {FOLDER}: {MEND}")
        if row["checksum"] != checksum(texts[name]):
            raise MigrationError(f"{name} has changed since it was applied: {MEND}")
    return [name for name in texts if name not in done]


def checksum(text: str) -> str:
    """Return what tells whether a file has changed, whatever its lines end with."""
    return sha256(text.encode()).hexdigest()


def connect() -> Any:
    """Return a connection that has a limit for the login, and none for what a migration takes."""
    connection = pymysql.connect(
        **options(),
        cursorclass=DictCursor,
        client_flag=CLIENT.MULTI_STATEMENTS,
        read_timeout=settings.mysql.connect_timeout,
        # A change that waits for a table holds up all who use it.
        init_command="SET lock_wait_timeout = 60",
    )
    connection._read_timeout = None
    return connection


def query(connection: Any, sql: str, *values: Any) -> list[Row]:
    """Send one statement and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return list(cursor.fetchall())


def lock(connection: Any, seconds: float) -> None:
    """Keep other hosts out; the server lets them in when this connection ends."""
    name = f"migrations of {settings.mysql.database}"[:64]
    if not query(connection, "SELECT GET_LOCK(%s, %s) AS got", name, seconds)[0]["got"]:
        raise MigrationError(f"another migrate is still at work after {seconds:g} s")


def apply(connection: Any, name: str, text: str) -> None:
    """Run the statements of a file and record it."""
    done = 0
    connection.begin()
    with connection.cursor() as cursor:
        try:
            cursor.execute(text)
            done = 1
            while cursor.nextset():
                done += 1
        except MySQLError as error:
            raise MigrationError(f"{name}, statement {done + 1}: {error}") from None
    record = "INSERT INTO migrations VALUES (%s, %s, %s, UTC_TIMESTAMP(3))"
    query(connection, record, name[:4], name, checksum(text))
    connection.commit()


def migrate(wait: float) -> None:
    """Apply what is pending, once nobody else does, and print a line for each."""
    connection = connect()
    lock(connection, wait)
    query(connection, TABLE)
    texts = known()
    todo = pending(texts, applied(partial(query, connection)))
    for name in todo:
        apply(connection, name, texts[name])
        print(f"applied {name}", flush=True)
    if not todo:
        print("the schema is up to date")


def status() -> None:
    """Print each migration with the time it was applied, or as pending."""
    texts, done = known(), applied(partial(query, connect()))
    for name in sorted({*texts, *done}):
        print(f"{done[name]['applied']:%Y-%m-%d %H:%M:%S} UTC" if name in done else "pending", name)
    pending(texts, done)


def warn_if_behind() -> None:
    """Log it if the schema is not what this code knows; MySQL may be away."""
    if not settings.mysql.host:
        return
    try:
        names, done = known().keys(), applied(mysql.rows).keys()
    except FAULTS as error:
        logger.warning("cannot tell whether the schema is behind: %s", error)
        return
    if behind := ", ".join(sorted(names - done)):
        logger.warning("the schema is behind: run sh run.sh migrate; pending: %s", behind)
    if ahead := ", ".join(sorted(done - names)):
        logger.warning("the schema is ahead of this code, which lacks %s", ahead)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="sh run.sh migrate")
    parser.add_argument("verb", nargs="?", choices=["status"])
    parser.add_argument("--wait", type=float, default=60, help="seconds to wait for another one")
    arguments = parser.parse_args()
    try:
        status() if arguments.verb else migrate(arguments.wait)
    except FAULTS as error:
        raise SystemExit(f"migrate: {error}") from None


if __name__ == "__main__":
    main()
