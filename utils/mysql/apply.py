"""One migration: its statements one after another, all or nothing where MySQL can."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from pymysql import MySQLError
from pymysql.constants import ER

from conf.current import settings
from utils.mysql.connection import Connection
from utils.mysql.errors import code_of
from utils.mysql.login import options
from utils.mysql.pool import kill
from utils.mysql.schema import MigrationError
from utils.mysql.script import ScriptError, Statement, statements

# An ALTER that waits for a table stops everybody who comes after it. So it gives up after so many
# seconds, lets them pass for as many, and tries again.
LOCK_WAIT = 1
LOCK_ERRORS = {ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK}
# What a failure leaves behind.
NOTHING = "the file is rolled back"
PART = "what ran before is done; if the answer was lost, this may be done too"
UNKNOWN = "`migrate status` shows if it is done"


def record(connection: Connection, name: str, checksum: str) -> None:
    """Record a migration; the file may have left the session in another database."""
    database = settings.mysql.database.replace("`", "``")
    insert = f"INSERT INTO `{database}`.migrations VALUES (%s, %s, %s, UTC_TIMESTAMP(3))"  # noqa: S608
    connection.rows(insert, name[:4], name, checksum)


def tell(line: str) -> None:
    """Print what an operator has to know while the migration runs."""
    sys.stderr.write(f"{line}\n")


class Migration:
    """A file, run on a connection of its own: what it SETs does not change the next one."""

    def __init__(self, name: str, text: str, checksum: str) -> None:
        self.name, self.checksum = name, checksum
        try:
            self.script = list(statements(text))
        except ScriptError as error:
            raise MigrationError(f"{name}, {error}") from None
        self.step: Statement | str = "before its first statement"
        self.left = NOTHING

    def apply(self, wait: float) -> None:
        """Run the statements and record the file; wait so many seconds for a table in use.

        Raises MigrationError, which says what is done.
        """
        self.wait = wait
        self.connection = Connection(**options())  # no limit for a statement
        try:
            self.connection.rows(f"SET lock_wait_timeout = {LOCK_WAIT}")
            self.run()
        except (Exception, KeyboardInterrupt) as error:
            with suppress(Exception):  # the server would go on with a statement
                kill([self.connection])
            raise MigrationError(f"{self.name}, {self.step}: {error}; {self.left}") from None
        finally:
            self.connection.close()

    def run(self) -> None:
        """Run the file in a transaction, or say first what in it cannot be rolled back."""
        alone = next((step for step in self.script if not step.can_roll_back), None)
        if alone is None:
            self.insist(self.run_in_transaction)
            return
        if len(self.script) > 1 or not alone.is_ddl:
            tell(
                f"{self.name} is not all or nothing: {alone} may commit by itself;"
                " if a later statement fails, the earlier ones stay committed"
            )
        self.run_each()

    def run_in_transaction(self) -> None:
        """Run and record the file, or undo all of it."""
        self.left = NOTHING
        self.connection.begin()
        try:
            for statement in self.script:
                self.send(statement)
            record(self.connection, self.name, self.checksum)
        except MySQLError:
            with suppress(MySQLError):  # the end of a connection rolls back as well
                self.connection.rollback()
            raise
        self.step, self.left = "COMMIT", UNKNOWN
        self.connection.commit()

    def run_each(self) -> None:
        """Run the statements, each for itself, then record the file."""
        self.left = PART
        for statement in self.script:
            self.insist(partial(self.send, statement))
        self.step = "recording it"
        self.connection.commit()  # what a transaction of the file's own left open
        with Connection(**options()) as fresh:  # this session may have LOCK TABLES
            record(fresh, self.name, self.checksum)

    def send(self, statement: Statement) -> None:
        self.step = statement
        self.connection.rows(statement.data)

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
                tell(f"{self.name}, {self.step} waits for a lock")
                told = True
            time.sleep(LOCK_WAIT)
