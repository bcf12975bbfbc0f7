"""MySQL: statements, each in one round trip, and transactions; docs/mysql.md has examples.

Values are always parameters, and no statement is sent twice. Raises UnavailableError if MySQL is
down or full: a write may then be done or not, unless it is a RetryableError. Raises StatementError
for what MySQL refuses.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any, Literal, TypeVar, get_args, overload

from utils.context import STEP_SECONDS, check_deadline, time_left
from utils.errors import UnavailableError
from utils.log import logger
from utils.mysql.connection import Connection
from utils.mysql.errors import StatementError
from utils.mysql.execute import COMMIT, Reader, Result, execute, execute_many
from utils.mysql.parameters import Values, bind
from utils.mysql.pool import pool
from utils.mysql.retries import retrying
from utils.mysql.rows import Row, convert
from utils.mysql.script import CALL, UNDONE_BY_ROLLBACK
from utils.mysql.session import limit_of

T = TypeVar("T")
V = TypeVar("V")
R = TypeVar("R")
Isolation = Literal["READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
WRITES = re.compile(r"\s*(?:INSERT|REPLACE|UPDATE|DELETE)\b", re.IGNORECASE)
SAVEPOINT = "SAVEPOINT before_call"
ENDED = "the statement ended the transaction that it was part of"


class Queries:
    """rows, row, value, execute, execute_many: one statement each."""

    def run(self, sql: str, values: Sequence[Any], first: bool = False) -> Result:
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
        rows = self.run(sql, values, first=True).rows
        if not rows:
            return None
        return convert(rows[:1], into, sql)[0] if into else rows[0]

    def value(self, sql: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        rows = self.run(sql, values, first=True).rows
        return next(iter(rows[0].values())) if rows else None

    def execute(self, sql: str, *values: Any) -> Result:
        """Write, and return a Result: `rowcount` rows found or written, `lastrowid` made."""
        return self.run(sql, values)

    def execute_many(self, sql: str, rows: Iterable[Values]) -> int:
        """Write many rows, all or none, and return their number; an INSERT goes in bulk."""
        raise NotImplementedError


class Transaction(Queries):
    """The statements of a transaction, on its one connection, until it ends."""

    def __init__(self, connection: Connection, read_only: bool = False) -> None:
        self.connection: Connection | None = connection
        self.read_only = read_only
        self.lock = Lock()

    def run(self, sql: str, values: Sequence[Any], first: bool = False) -> Result:
        return self.use(partial(execute, first=first), sql, values)

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
        if self.read_only and WRITES.match(sql):  # MySQL's error could be that of a replica
            raise RuntimeError(f"the transaction is one that only reads: {sql}")
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

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds

    def within(self, seconds: float) -> "MySQL":
        """Return the same, whose statements may take so long: a report, within the deadline."""
        return MySQL(seconds)

    @contextmanager
    def connection(self, seconds: float | None = None) -> Iterator[Connection]:
        """Lend a connection with a limit for its statements, here and at the server."""
        wanted = seconds or self.seconds
        with pool().connection() as connection:
            check_deadline()
            wait = limit = connection.usual_timeout
            if wanted:  # what the deadline cuts is ended by the server, if a bit later
                wait, limit = wanted, time_left(wanted - STEP_SECONDS) + STEP_SECONDS
            if limit != connection.statement_timeout:  # which may be that of the one before
                with suppress(StatementError):  # from a gateway that does not know it
                    execute(connection, f"SET {limit_of(connection.is_mariadb, limit)}")
                connection.limit_statements(limit, wait)
            yield connection

    def execute_many(self, sql: str, rows: Iterable[Values]) -> int:
        """Write many rows in one transaction, and return their number."""
        with self.transaction() as tx:
            return tx.execute_many(sql, rows)

    def run(self, sql: str, values: Sequence[Any], first: bool = False) -> Result:
        with self.connection() as connection:
            result = execute(connection, sql, values, first)
            if not connection.is_idle:  # the pool closes the connection
                logger.warning(
                    "MySQL: rolled back: the statement left a transaction open;"
                    " use mysql.transaction(): %s",
                    sql,
                )
            return result

    @overload
    def stream(self, sql: str, *values: Any) -> Iterator[Row]: ...
    @overload
    def stream(self, sql: str, *values: Any, into: type[T]) -> Iterator[T]: ...
    def stream(self, sql: str, *values: Any, into: Any = None) -> Iterator[Any]:
        """Yield the rows as they come, in constant memory; the loop has a connection to itself.

        It has until the request's deadline, and is no part of a transaction. The connection is
        closed if the loop is left.
        """
        with self.connection(math.inf) as connection:
            data = bind(sql, values or None, connection.quote)
            with closing(iter(Reader(connection, sql, data))) as rows:
                for row in rows:
                    connection.answer_bytes = 0  # the limit is for what is held at once
                    yield convert([row], into, sql)[0] if into else row

    @contextmanager
    def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False
    ) -> Iterator[Transaction]:
        """Commit all that runs inside, or nothing of it if anything is raised."""
        if isolation and isolation not in get_args(Isolation):
            raise ValueError(f"isolation: expected one of {', '.join(get_args(Isolation))}")
        with self.connection() as connection:
            if isolation:
                execute(connection, f"SET TRANSACTION ISOLATION LEVEL {isolation}")
            execute(connection, "START TRANSACTION READ ONLY" if read_only else "BEGIN")
            tx = Transaction(connection, read_only)
            try:
                yield tx
                tx.commit(connection)
            except Exception:
                tx.roll_back(connection)
                raise
            finally:  # a timeout has no time for a ROLLBACK: the pool closes the connection
                tx.connection = None


mysql = MySQL()
