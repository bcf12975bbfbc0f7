"""One statement: send it, wait for its answer, log it, translate its error."""

import logging
import math
import re
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from pymysql import MySQLError
from pymysql.cursors import SSDictCursor

from conf.current import settings
from utils.context import spared
from utils.errors import UnavailableError
from utils.log import logger
from utils.mysql.connection import Connection
from utils.mysql.errors import (
    COMMIT_UNDONE_ERRORS,
    FULL_ERRORS,
    RETRYABLE_ERRORS,
    RetryableError,
    as_statement_error,
    code_of,
    is_refusal,
    unavailable,
)
from utils.mysql.parameters import Values, batches, bind
from utils.mysql.rows import Row
from utils.mysql.script import UNDONE_BY_ROLLBACK, UPSERT

COMMIT = "COMMIT"
SKIPPED_BYTES = 1 << 20  # to read them takes less than a new connection
READS = re.compile(r"[\s(]*(?:SELECT|SHOW|TABLE|VALUES|WITH)\b", re.IGNORECASE)


class Result(NamedTuple):
    """What a statement returned (PEP 249)."""

    rows: Sequence[Row]
    rowcount: int  # rows selected, found to be changed, or written; an upsert that changes counts 2
    lastrowid: int  # the first AUTO_INCREMENT value that it made, or 0


def execute(
    connection: Connection, sql: str, values: Sequence[Any] = (), first: bool = False
) -> Result:
    """Send a statement and return its result, perhaps with no more than the first row.

    Raises UnavailableError, a StatementError, or TypeError for a value that has no form. The
    connection is closed unless it is certain that it can go on: a statement may be half sent, or
    its answer still be on its way.
    """
    data = bind(sql, values or None, connection.quote)  # its mistakes cost no connection
    return send(connection, sql, data, values, first)


def execute_many(connection: Connection, sql: str, rows: Iterable[Values]) -> int:
    """Send a statement for all rows, and return how many it found or wrote."""
    count = 0
    for data, batch in batches(sql, rows, connection.quote):
        found = send(connection, sql, data, batch).rowcount
        # An upsert counts a row that it changes as two.
        count += min(found, len(batch)) if UPSERT.match(sql) else found
    return count


def send(
    connection: Connection, sql: str, data: bytes, values: Sequence[Any], first: bool = False
) -> Result:
    """Send a statement that has its values, and read its answer."""
    reader = Reader(connection, sql, data, first)
    started = time.perf_counter()
    try:
        with spared():
            rows = list(reader)
    finally:
        log(reader, values, (time.perf_counter() - started) * 1000)
    return Result(rows, reader.rowcount, reader.lastrowid)


class Cursor(SSDictCursor):
    """A cursor whose end leaves the connection as it is; PyMySQL's would read on."""

    def __del__(self) -> None:
        """Do nothing."""


class Reader:
    """Sends a statement, and reads its answer as far as the rows are asked for."""

    def __init__(self, connection: Connection, sql: str, data: bytes, first: bool = False) -> None:
        self.connection, self.sql, self.data, self.first = connection, sql, data, first
        self.rowcount = self.lastrowid = 0

    def __iter__(self) -> Generator[Row]:
        """Yield the rows; a connection that is left before the last one is closed."""
        try:
            yield from self.read()
            return
        except MySQLError as raised:
            error = translate(self.connection, self.sql, raised)
        except BaseException:  # also a timeout of gevent's
            self.connection.close()
            raise
        raise error  # out here, for a traceback would show PyMySQL's error with its values

    def read(self) -> Iterator[Row]:
        cursor = self.connection.cursor(Cursor)
        cursor.execute(self.data)  # type: ignore[call-overload]  # bytes go in too
        self.lastrowid = cursor.lastrowid or 0
        if not cursor.description:
            self.rowcount = cursor.rowcount
        for row in iter(cursor.fetchone, None) if cursor.description else ():
            self.rowcount += 1
            yield row
            if self.first:
                break
        while self.skip_rest() and cursor.nextset():  # a CALL may fail after its first result
            pass

    def skip_rest(self) -> bool:
        """Read the rows that nobody wants; close instead if they are many, and no part of a write.

        Return whether the connection can go on.
        """
        may_close = self.connection.is_idle and READS.match(self.sql)
        if self.connection.skip_rows(SKIPPED_BYTES if may_close else math.inf):
            return True
        logger.warning("MySQL: only the first of many rows was wanted, use LIMIT 1: %s", self.sql)
        self.connection.close()
        return False


def translate(connection: Connection, sql: str, raised: MySQLError) -> Exception:
    """Return our error for PyMySQL's, and close the connection if its session cannot go on."""
    error, code = as_statement_error(raised), code_of(raised)
    if code in RETRYABLE_ERRORS:
        in_transaction = not connection.is_idle
        if in_transaction:  # MySQL rolled back: what came next would be committed alone
            connection.close()
        if sql == COMMIT:
            undone = code in COMMIT_UNDONE_ERRORS
        else:  # outside a transaction, a CALL may have committed a part of its work
            undone = in_transaction or bool(UNDONE_BY_ROLLBACK.match(sql))
        return unavailable(error, RetryableError if undone else UnavailableError)
    if is_refusal(raised):
        return error
    if code not in FULL_ERRORS:
        connection.close()
    return unavailable(error)


def log(reader: Reader, values: Sequence[Any], milliseconds: float) -> None:
    """Log a statement: at DEBUG, or at WARNING if it was slow."""
    level = logging.WARNING if milliseconds > settings.mysql.slow_ms else logging.DEBUG
    if logger.isEnabledFor(level):
        shown = f" {values!r}" if settings.log.sql_values else ""
        found = (milliseconds, reader.rowcount, reader.sql, shown)
        logger.log(level, "mysql %.3f ms, %d rows: %s%s", *found)
