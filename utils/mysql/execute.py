"""One statement: send it, wait for its answer, log it, translate its error."""

import logging
import re
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from pymysql import MySQLError
from pymysql.cursors import DictCursor

from conf.current import settings
from utils.log import logger
from utils.mysql.connection import Connection
from utils.mysql.errors import (
    RETRYABLE_ERRORS,
    RetryableError,
    StatementError,
    as_statement_error,
    is_statement_error,
    unavailable,
)
from utils.mysql.rows import Row
from utils.timing import timed

SINGLE_STATEMENT = re.compile(r"\s*(?:INSERT|REPLACE|UPDATE|DELETE|SELECT|WITH)\b", re.IGNORECASE)


class Result(NamedTuple):
    """What a statement returned (PEP 249)."""

    rows: Sequence[Row]
    rowcount: int  # rows selected, or changed
    lastrowid: int  # the first AUTO_INCREMENT value that it made, or 0


def execute(
    connection: Connection, sql: str, values: Sequence[Any] = (), many: bool = False
) -> Result:
    """Send a statement and return its result.

    Raises UnavailableError, or a StatementError. The connection is closed unless it is certain
    that it can go on: a statement may be half sent, or its answer still be on its way.
    """
    cursor = connection.cursor(DictCursor)
    with timed(partial(log, cursor, sql, values)):
        try:
            return send(cursor, sql, values, many)
        except MySQLError as raised:
            error = as_statement_error(raised)
            if not is_intact(connection, error):
                connection.close()
        except BaseException:  # also a timeout of gevent's
            connection.close()
            raise
    if is_undone(connection, sql, error):
        raise unavailable(error, RetryableError) from error
    if error.code in RETRYABLE_ERRORS or not is_statement_error(error):
        raise unavailable(error) from error
    raise error


def send(cursor: DictCursor, sql: str, values: Sequence[Any], many: bool) -> Result:
    """Send a statement and read its whole answer."""
    if many:
        cursor.executemany(sql, values)
    else:
        cursor.execute(sql, values or None)
    result = Result(cursor.fetchall(), cursor.rowcount, cursor.lastrowid or 0)
    while cursor.nextset():  # a CALL may fail after its first result
        pass
    return result


def is_intact(connection: Connection, error: StatementError) -> bool:
    """Return whether the session goes on as if the statement had not been sent.

    A transaction does not: MySQL may have rolled all of it back, and what came next would be
    committed alone.
    """
    undone = error.code in RETRYABLE_ERRORS and not connection.is_idle
    return is_statement_error(error) and not undone


def is_undone(connection: Connection, sql: str, error: StatementError) -> bool:
    """Return whether nothing of the statement, and of the transaction around it, is written.

    Outside a transaction that is known of a single statement only: a procedure commits each of its
    own.
    """
    one = not connection.is_idle or SINGLE_STATEMENT.match(sql)
    return bool(one) and error.code in RETRYABLE_ERRORS


def log(cursor: DictCursor, sql: str, values: Sequence[Any], milliseconds: float) -> None:
    """Log a statement: at DEBUG, or at WARNING if it was slow."""
    level = logging.WARNING if milliseconds > settings.mysql.slow_ms else logging.DEBUG
    if logger.isEnabledFor(level):
        shown = f" {values!r}" if settings.log.sql_values else ""
        logger.log(level, "mysql %.3f ms, %d rows: %s%s", milliseconds, cursor.rowcount, sql, shown)
