"""One migration: its statements one after another, all or nothing where MySQL can."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from pymysql import MySQLError
from pymysql.constants import CR, ER
from pymysql.cursors import DictCursor

from conf.current import settings
from utils.errors import UnavailableError
from utils.mysql.connection import Connection, options
from utils.mysql.pool import kill
from utils.mysql.rows import Row
from utils.mysql.schema import MigrationError
from utils.mysql.script import ScriptError, Statement, statements

# An ALTER that waits for a table stops everybody who comes after it. So it gives up after so many
# seconds, lets them pass for as many, and tries again.
LOCK_WAIT = 1
LOCK_ERRORS = {ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK}
LOST_ERRORS = {CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST}
NOTHING = "nothing of the file is done"
HOLDERS = (
    "SELECT trx_mysql_thread_id AS id, TIMESTAMPDIFF(SECOND, trx_started, NOW()) AS seconds"
    " FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> CONNECTION_ID()"
    " ORDER BY trx_started LIMIT 3"
)


def connect() -> Connection:
    """Return a connection that has a limit for the login, and none for a statement."""
    try:
        return Connection(**options())
    except (MySQLError, OSError, UnavailableError):
        raise
    except Exception as error:
        place = f"{settings.mysql.host}:{settings.mysql.port}"
        raise MigrationError(f"what answers at {place} is not MySQL ({error})") from None


def query(connection: Connection, sql: Any, *values: Any) -> list[Row]:
    """Send one statement, read its whole answer, and return its rows."""
    with connection.cursor(DictCursor) as cursor:
        cursor.execute(sql, values or None)
        return list(cursor.fetchall())


def record(connection: Connection, name: str, checksum: str) -> None:
    """Record a migration; the file may have left the session in another database."""
    database = settings.mysql.database.replace("`", "``")
    insert = f"INSERT INTO `{database}`.migrations VALUES (%s, %s, %s, UTC_TIMESTAMP(3))"  # noqa: S608
    query(connection, insert, name[:4], name, checksum)


def code_of(error: Exception) -> object:
    """Return MySQL's number of the error."""
    return error.args[0] if error.args else None


def is_refusal(error: Exception) -> bool:
    """Return whether MySQL refused the statement; or else its answer is missing or broken."""
    return isinstance(error, MySQLError) and code_of(error) not in LOST_ERRORS


class Migration:
    """A file, run on a connection of its own: what it SETs does not change the next one."""

    def __init__(self, name: str, text: str, checksum: str) -> None:
        self.name, self.checksum = name, checksum
        try:
            self.script = list(statements(text))
        except ScriptError as error:
            raise MigrationError(f"{name}, {error}") from None
        self.step: Statement | str = "before its first statement"
        # What a failure leaves behind: if MySQL refused the step, and if its answer is missing.
        self.refused = self.unclear = NOTHING

    def apply(self, wait: float, tell: Callable[[str], object]) -> None:
        """Run the statements and record the file.

        `wait` are the seconds to wait for a table that is in use; `tell` gets the lines that an
        operator has to read meanwhile. Raises MigrationError, which says what is done.
        """
        self.wait, self.tell = wait, tell
        self.connection = connect()
        self.check_sizes()
        try:
            query(self.connection, f"SET lock_wait_timeout = {LOCK_WAIT}")
            self.run()
        except Exception as error:
            stays = self.refused if is_refusal(error) else self.unclear
            raise MigrationError(f"{self.name}, {self.step}: {error}; {stays}") from None
        except KeyboardInterrupt:
            with suppress(Exception):  # the server would go on with the statement
                kill([self.connection])
            message = f"{self.name}, {self.step}: interrupted; {self.unclear}"
            raise MigrationError(message) from None
        finally:
            self.connection.close()

    def check_sizes(self) -> None:
        """Refuse the file if it has a statement that is too large for the server."""
        limit = self.connection.max_packet
        for statement in self.script:
            size = len(statement.data) + 1
            if size >= limit:
                raise MigrationError(
                    f"{self.name}, {statement}: {size} bytes, but max_allowed_packet is {limit}"
                )

    def run(self) -> None:
        """Run the file in a transaction, or say first what in it cannot be rolled back."""
        alone = next((step for step in self.script if not step.can_roll_back), None)
        if alone is None:
            self.insist(self.run_in_transaction)
            return
        if len(self.script) > 1 or not alone.is_ddl:
            self.tell(
                f"{self.name} is not all or nothing: {alone} is committed by itself, or may be;"
                " after a failure, what ran before it is done"
            )
        self.run_each()

    def run_in_transaction(self) -> None:
        """Run and record the file, or undo all of it."""
        self.refused = self.unclear = NOTHING
        self.connection.begin()
        try:
            for statement in self.script:
                self.send(statement)
            record(self.connection, self.name, self.checksum)
        except MySQLError:
            self.roll_back()  # for another try, and to learn what it leaves behind
            raise
        self.step, self.unclear = "COMMIT", "`migrate status` shows if it is done"
        self.connection.commit()

    def roll_back(self) -> None:
        """Roll back; tables without transactions, such as MyISAM's, keep what was done."""
        with suppress(MySQLError):  # the end of a connection rolls back as well
            self.connection.rollback()
            warnings = query(self.connection, "SHOW WARNINGS")
            if ER.WARNING_NOT_COMPLETE_ROLLBACK in [warning["Code"] for warning in warnings]:
                self.refused = "what it did to tables without transactions is done, the rest is not"

    def run_each(self) -> None:
        """Run the statements, each for itself, then record the file."""
        for statement in self.script:
            self.unclear = f"{self.refused}; the schema shows if this one is done"
            self.insist(partial(self.send, statement))
            self.refused = f"the file is done up to {statement}"
        self.step, self.unclear = "to be recorded", self.refused
        self.connection.commit()  # what a transaction of the file's own left open
        with connect() as fresh:  # this session may have LOCK TABLES
            record(fresh, self.name, self.checksum)

    def send(self, statement: Statement) -> None:
        """Send a statement."""
        self.step = statement
        query(self.connection, statement.data)

    def insist(self, attempt: Callable[[], None]) -> None:
        """Try again while a lock is in the way, until `wait` is over."""
        give_up_at = time.monotonic() + self.wait
        told = False
        while True:
            try:
                return attempt()
            except MySQLError as error:
                # In a transaction of the file's own, MySQL may have undone other statements too.
                in_the_way = code_of(error) in LOCK_ERRORS and self.connection.is_idle
                if not in_the_way or time.monotonic() > give_up_at:
                    raise
            if not told:
                self.tell(f"{self.name}, {self.step} waits for a lock{self.holders()}")
                told = True
            time.sleep(LOCK_WAIT)

    def holders(self) -> str:
        """Return who has transactions; MySQL tells it to those with the PROCESS privilege."""
        with suppress(MySQLError):
            rows = query(self.connection, HOLDERS)
            return "".join(
                f", connection {r['id']} has a transaction for {r['seconds']} s" for r in rows
            )
        return ""
