"""MySQL: statements, each in one round trip, and transactions; docs/mysql.md has examples.

Values are always parameters, and no statement is sent twice. Raises UnavailableError if MySQL is
down or full: a write may then be done or not, unless it is a RetryableError. Raises StatementError
for what MySQL refuses.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, TypeVar, overload

from utils.context import check_deadline
from utils.errors import UnavailableError
from utils.log import logger
from utils.mysql.connection import Connection
from utils.mysql.errors import StatementError
from utils.mysql.execute import COMMIT, Result, execute, execute_many
from utils.mysql.parameters import Values
from utils.mysql.pool import pool
from utils.mysql.retries import retrying
from utils.mysql.rows import Row, convert
from utils.mysql.script import CALL, UNDONE_BY_ROLLBACK

T = TypeVar("T")
V = TypeVar("V")
R = TypeVar("R")
SAVEPOINT = "SAVEPOINT before_call"
ENDED = "the statement ended the transaction that it was part of"


class Queries:
    """rows, row, value, execute, execute_many: one statement each."""

    def run(self, sql: str, values: Sequence[Any]) -> Result:
        raise NotImplementedError

    @overload
    def rows(self, sql: str, *values: Any) -> list[Row]: ...
    @overload
    def rows(self, sql: str, *values: Any, into: type[T]) -> list[T]: ...
    def rows(self, sql: str, *values: Any, into: Any = None) -> list[Any]:
        """Return all rows, as dicts or as instances of a class with a field a column."""
        rows = self.run(sql, values).rows
        return convert(rows, into, sql) if into else list(rows)

    @overload
    def row(self, sql: str, *values: Any) -> Row | None: ...
    @overload
    def row(self, sql: str, *values: Any, into: type[T]) -> T | None: ...
    def row(self, sql: str, *values: Any, into: Any = None) -> Any:
        """Return the first row, or None."""
        rows = self.run(sql, values).rows
        if not rows:
            return None
        return convert(rows[:1], into, sql)[0] if into else rows[0]

    def value(self, sql: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        rows = self.run(sql, values).rows
        return next(iter(rows[0].values())) if rows else None

    def execute(self, sql: str, *values: Any) -> Result:
        """Write, and return a Result: `rowcount` rows found or written, `lastrowid` made."""
        return self.run(sql, values)

    def execute_many(self, sql: str, rows: Iterable[Values]) -> int:
        """Write many rows, all or none, and return their number; an INSERT goes in bulk."""
        raise NotImplementedError


class Transaction(Queries):
    """The statements of a transaction, on its one connection, until it ends."""

    def __init__(self, connection: Connection) -> None:
        self.connection: Connection | None = connection
        self.lock = Lock()

    def run(self, sql: str, values: Sequence[Any]) -> Result:
        return self.use(execute, sql, values)

    def execute_many(self, sql: str, rows: Iterable[Values]) -> int:
        """Write many rows, and return their number."""
        return self.use(execute_many, sql, rows)

    def use(self, send: Callable[[Connection, str, V], R], sql: str, values: V) -> R:
        """Send a statement, after those that other greenlets sent in this transaction.

        One that would end the transaction is refused before it is sent.
        """
        calls = CALL.match(sql)
        if not calls and not UNDONE_BY_ROLLBACK.match(sql):
            raise RuntimeError(f"no part of a transaction, for no ROLLBACK undoes it: {sql}")
        with self.lock:
            if (connection := self.connection) is None:
                raise RuntimeError("the transaction is over")
            check_deadline()
            if calls:
                execute(connection, SAVEPOINT)
            try:
                result = send(connection, sql, values)
            finally:
                if calls and connection.open:
                    self.check_savepoint(connection, sql)
            if connection.is_idle:
                raise RuntimeError(f"{ENDED}: {sql}")
            return result

    def check_savepoint(self, connection: Connection, sql: str) -> None:
        """Raise RuntimeError if a procedure ended the transaction, also if it began another one.

        The server's answer has just whether there is a transaction.
        """
        try:
            execute(connection, f"RELEASE {SAVEPOINT}")
        except StatementError:
            connection.close()  # what the procedure began is rolled back
            self.connection = None
            raise RuntimeError(f"{ENDED}: {sql}") from None

    def commit(self, connection: Connection) -> None:
        """Commit, after the statements of other greenlets."""
        with self.lock:
            if not self.connection:
                raise RuntimeError("the transaction is over")
            check_deadline()
            execute(connection, COMMIT)

    def roll_back(self, connection: Connection) -> None:
        """Roll back, after the statements of other greenlets; what is closed is rolled back."""
        with self.lock, suppress(UnavailableError):
            if connection.open:
                execute(connection, "ROLLBACK")


class MySQL(Queries):
    """Statements and transactions, each on a connection of the pool."""

    retrying = staticmethod(retrying)

    def execute_many(self, sql: str, rows: Iterable[Values]) -> int:
        """Write many rows in one transaction, and return their number."""
        with self.transaction() as tx:
            return tx.execute_many(sql, rows)

    def run(self, sql: str, values: Sequence[Any]) -> Result:
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
