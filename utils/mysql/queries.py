"""MySQL: statements, each in one round trip, and transactions; docs/mysql.md has examples.

Values are always parameters, and no statement is sent twice. Raises UnavailableError if MySQL is
down or full: a write may then be done or not, unless it is a RetryableError. Raises StatementError
for what MySQL refuses.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, TypeVar, overload

from utils.context import check_deadline
from utils.errors import UnavailableError
from utils.log import logger
from utils.mysql.connection import Connection
from utils.mysql.errors import RetryableError
from utils.mysql.execute import Result, execute
from utils.mysql.pool import pool
from utils.mysql.rows import Row, convert

T = TypeVar("T")


class Queries:
    """rows, row, value, execute, execute_many: one statement each."""

    def run(self, sql: str, values: Sequence[Any], many: bool = False) -> Result:
        raise NotImplementedError

    @overload
    def rows(self, sql: str, *values: Any) -> list[Row]: ...
    @overload
    def rows(self, sql: str, *values: Any, into: type[T]) -> list[T]: ...
    def rows(self, sql: str, *values: Any, into: Any = None) -> list[Any]:
        """Return all rows, as dicts or as instances of a class with a field a column."""
        rows = self.run(sql, values).rows
        return [convert(row, into) for row in rows] if into else list(rows)

    @overload
    def row(self, sql: str, *values: Any) -> Row | None: ...
    @overload
    def row(self, sql: str, *values: Any, into: type[T]) -> T | None: ...
    def row(self, sql: str, *values: Any, into: Any = None) -> Any:
        """Return the first row, or None."""
        rows = self.run(sql, values).rows
        if not rows:
            return None
        return convert(rows[0], into) if into else rows[0]

    def value(self, sql: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        rows = self.run(sql, values).rows
        return next(iter(rows[0].values())) if rows else None

    def execute(self, sql: str, *values: Any) -> Result:
        """Write, and return a Result: `rowcount` rows changed, `lastrowid` made."""
        return self.run(sql, values)

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """Write many rows, all or none, and return their number; an INSERT goes in bulk."""
        return self.run(sql, rows, many=True).rowcount if rows else 0


class Transaction(Queries):
    """The statements of a transaction, on its one connection, until it ends."""

    def __init__(self, connection: Connection) -> None:
        self.connection: Connection | None = connection
        self.lock = Lock()

    def run(self, sql: str, values: Sequence[Any] = (), many: bool = False) -> Result:
        """Send one statement, after those that other greenlets sent in this transaction."""
        with self.lock:
            if (connection := self.connection) is None:
                raise RuntimeError("the transaction is over")
            check_deadline()
            result = execute(connection, sql, values, many)
            if connection.is_idle:
                raise RuntimeError(f"the statement ended the transaction it was part of: {sql}")
            return result

    def commit(self, connection: Connection) -> None:
        """Commit, after the statements of other greenlets."""
        with self.lock:
            check_deadline()
            try:
                execute(connection, "COMMIT")
            except RetryableError as error:  # whether a COMMIT was undone is not known
                raise UnavailableError(str(error)) from error

    def roll_back(self, connection: Connection) -> None:
        """Roll back, after the statements of other greenlets; what is closed is rolled back."""
        with self.lock, suppress(UnavailableError):
            if connection.open:
                execute(connection, "ROLLBACK")


class MySQL(Queries):
    """Statements and transactions, each on a connection of the pool."""

    def run(self, sql: str, values: Sequence[Any], many: bool = False) -> Result:
        """Send one statement; many rows may take several, so these go in a transaction."""
        if many:
            with self.transaction() as tx:
                return tx.run(sql, values, many)
        with pool().connection() as connection:
            check_deadline()
            result = execute(connection, sql, values)
            if not connection.is_idle:  # the pool closes the connection
                logger.warning(
                    "MySQL: rolled back: the statement left a transaction open;"
                    " use mysql.transaction(): %s",
                    sql,
                )
            return result

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Commit all that runs inside, or nothing of it if anything is raised."""
        with pool().connection() as connection:
            check_deadline()
            execute(connection, "BEGIN")
            tx = Transaction(connection)
            try:
                yield tx
                tx.commit(connection)
            except Exception:
                tx.roll_back(connection)
                raise
            finally:  # a timeout has no time for a ROLLBACK: the pool closes the connection
                tx.connection = None


mysql = MySQL()
