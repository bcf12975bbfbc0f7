"""The schema as the files of conf/migrations/ and the table `migrations` say it is."""

import re
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from pymysql import MySQLError
from pymysql.constants import ER

from conf import ROOT
from conf.current import settings
from utils.errors import UnavailableError
from utils.log import logger
from utils.mysql.errors import code_of
from utils.mysql.queries import mysql
from utils.mysql.rows import Row

FOLDER = ROOT / "conf/migrations"
DUMP = re.compile(rb"(?:/\*M!999999.*\n)?-- (?:MySQL|MariaDB) dump ")
FIX = "restore the file, or correct the schema and its row in `migrations` by hand"


class MigrationError(Exception):
    """The schema cannot be brought up to date; the message says why."""


MIGRATE_ERRORS = (MigrationError, MySQLError, UnavailableError, OSError)


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
        if code_of(error) != ER.NO_SUCH_TABLE:
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


def warn_if_behind() -> None:
    """Log a warning if the schema is not what this code knows, or if MySQL is down."""
    if not settings.mysql.host:
        return
    try:
        names, done = known().keys(), applied(mysql.rows).keys()
    except MIGRATE_ERRORS as error:
        logger.warning("cannot find out whether the schema is behind: %s", error)
        return
    if behind := ", ".join(sorted(names - done)):
        logger.warning("the schema is behind: run sh run.sh migrate; pending: %s", behind)
    if ahead := ", ".join(sorted(done - names)):
        logger.warning("the schema is ahead of this code, which lacks %s", ahead)
