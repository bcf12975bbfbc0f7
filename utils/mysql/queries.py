"""MySQL: statements, each in one round trip, and transactions.

    order = mysql.row("SELECT * FROM orders WHERE order_id = %s", 7, into=Order)
    with mysql.transaction() as tx:
        tx.execute("UPDATE accounts SET cents = cents - %s WHERE id = %s", 100, 1)
        tx.execute("UPDATE accounts SET cents = cents + %s WHERE id = %s", 100, 2)

Values are always parameters: a `%s` in the statement for each, and then `%%` for a percent sign.
Nothing is ever sent twice. UnavailableError says that MySQL is away or full, and, after a write,
that nobody knows whether it was done; what else MySQL refuses raises PyMySQL's own errors.
Connections go from request to request: leave nothing in a session (SET, GET_LOCK, LOCK TABLES,
temporary tables). Columns have MySQL's types, as PyMySQL reads them: SUM() is a Decimal, TIME a
timedelta.
"""

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, NamedTuple, TypeVar, overload

import msgspec
from pymysql import MySQLError, ProgrammingError
from pymysql.constants import ER
from pymysql.cursors import DictCursor

from conf.current import settings
from utils.errors import UnavailableError
from utils.log import logger
from utils.mysql.connection import Connection, unavailable
from utils.mysql.pool import pool

T = TypeVar("T")
Row = dict[str, Any]

# The server's codes for: it is full, shuts down, refuses the login or has become read-only; the
# connection was killed. A new connection may lead to a server that is better.
AWAY = {
    ER.CON_COUNT_ERROR,
    ER.DBACCESS_DENIED_ERROR,
    ER.ACCESS_DENIED_ERROR,
    ER.SERVER_SHUTDOWN,
    ER.TOO_MANY_USER_CONNECTIONS,
    ER.OPTION_PREVENTS_STATEMENT,
    1836,  # read-only mode
    1927,  # MariaDB: connection was killed
    4031,  # MySQL: disconnected for inactivity
}
# A statement was ended, waited too long for a lock, or lost a deadlock.
BUSY = {
    ER.LOCK_WAIT_TIMEOUT,
    ER.LOCK_DEADLOCK,
    ER.QUERY_INTERRUPTED,
    1969,  # MariaDB: max_statement_time
    3024,  # MySQL: max_execution_time
}
# In a message of MySQL's: the first quotation that is no name, and what follows it.
VALUES = re.compile(r"(?<!column )(?<!key )(?<!table )'.*", re.DOTALL | re.IGNORECASE)


class Done(NamedTuple):
    """What a write did: rows touched, and the AUTO_INCREMENT value it made first."""

    rows: int
    last_id: int


class Statements:
    """The verbs."""

    def run(self, sql: str, values: Sequence[Any], many: bool = False) -> DictCursor:
        """Send one statement and return the cursor with its result."""
        raise NotImplementedError

    @overload
    def rows(self, sql: str, *values: Any) -> list[Row]: ...
    @overload
    def rows(self, sql: str, *values: Any, into: type[T]) -> list[T]: ...
    def rows(self, sql: str, *values: Any, into: Any = Row) -> list[Any]:
        """Return all rows, as dicts or as instances of a type with fields like the columns."""
        return [fill(into, row) for row in self.run(sql, values).fetchall()]

    @overload
    def row(self, sql: str, *values: Any) -> Row | None: ...
    @overload
    def row(self, sql: str, *values: Any, into: type[T]) -> T | None: ...
    def row(self, sql: str, *values: Any, into: Any = Row) -> Any:
        """Return the first row, or None."""
        row = self.run(sql, values).fetchone()
        return None if row is None else fill(into, row)

    def value(self, sql: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        row = self.run(sql, values).fetchone()
        return None if row is None else next(iter(row.values()))

    def execute(self, sql: str, *values: Any) -> Done:
        """Write, and return how many rows that touched and the id that it made."""
        cursor = self.run(sql, values)
        return Done(cursor.rowcount, cursor.lastrowid or 0)

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """Write many rows, whole or not at all, and return how many; an INSERT goes in bulk."""
        return self.run(sql, rows, many=True).rowcount if rows else 0


def fill(into: Any, row: Row) -> Any:
    """Return the row as an instance of the type."""
    return row if into is Row else msgspec.convert(row, into, strict=False)


class Transaction(Statements):
    """The verbs on the one connection of a transaction, until that ends."""

    def __init__(self, connection: Connection) -> None:
        self.connection: Connection | None = connection
        self.lock = Lock()

    def run(self, sql: str, values: Sequence[Any] = (), many: bool = False) -> DictCursor:
        """Send one statement of the transaction, after those that other greenlets sent."""
        with self.lock:
            if (connection := self.connection) is None:
                raise RuntimeError("the transaction is over")
            try:
                cursor = send(connection, sql, values, many)
            except UnavailableError:  # it may be rolled back: what came now would stand alone
                connection.close()
                raise
            if connection.commits:
                raise RuntimeError(f"no statement for a transaction, for it ends one: {sql}")
            return cursor

    def end(self, connection: Connection, sql: str) -> None:
        """Commit or roll back, after what other greenlets sent."""
        with self.lock:
            send(connection, sql)


class MySQL(Statements):
    """The verbs, each on a connection of the pool."""

    def run(self, sql: str, values: Sequence[Any], many: bool = False) -> DictCursor:
        """Send one statement; many rows may take several, so these go in a transaction."""
        if many:
            with self.transaction() as tx:
                return tx.run(sql, values, many)
        with pool().connection() as connection:
            return send(connection, sql, values)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Commit what runs inside as a whole, or nothing of it when anything is raised."""
        with pool().connection() as connection:
            send(connection, "BEGIN")
            tx = Transaction(connection)
            try:
                yield tx
                tx.end(connection, "COMMIT")
            except Exception:
                if connection.open:
                    with suppress(UnavailableError):  # the end of a connection rolls back as well
                        tx.end(connection, "ROLLBACK")
                raise
            except BaseException:  # the time is up: closing rolls back, and does not wait
                connection.close()
                raise
            finally:
                tx.connection = None


def send(
    connection: Connection, sql: str, values: Sequence[Any] = (), many: bool = False
) -> DictCursor:
    """Send a statement, wait for its answer, log it; whatever is unclear closes the connection."""
    cursor, started = connection.cursor(), time.perf_counter()
    try:
        cursor.executemany(sql, values) if many else cursor.execute(sql, values or None)
        while connection._result.has_next:  # of a CALL: the last one says whether all went well
            connection.next_result()
    except MySQLError as error:
        code = error.args[0] if error.args else 0
        if not settings.log.sql_values:
            error.args = (code, *(VALUES.sub("'...'", str(text)) for text in error.args[1:]))
        away = code in AWAY or not in_step(error)
        if away or code == ER.NET_PACKET_TOO_LARGE:  # the server hangs up after that one
            connection.close()
        if away or code in BUSY:
            raise unavailable(error) from error
        raise
    except BaseException:
        connection.close()
        raise
    finally:
        log(cursor, sql, values, (time.perf_counter() - started) * 1000)
    return cursor


def in_step(error: MySQLError) -> bool:
    """Tell whether the server refused a statement, or it was wrong before it was sent."""
    code = error.args[0] if error.args else 0
    if not isinstance(code, int):
        return isinstance(error, ProgrammingError)  # of values that do not fit the statement
    return 1000 <= code < 2000 or code >= 3000


def log(cursor: DictCursor, sql: str, values: Sequence[Any], milliseconds: float) -> None:
    """Log a statement: at DEBUG, or at WARNING if it was slow."""
    level = logging.WARNING if milliseconds > settings.mysql.slow_ms else logging.DEBUG
    if logger.isEnabledFor(level):
        shown = f" {values!r}" if settings.log.sql_values else ""
        logger.log(level, "mysql %.3f ms, %d rows: %s%s", milliseconds, cursor.rowcount, sql, shown)


mysql = MySQL()
