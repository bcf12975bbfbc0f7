"""What MySQL's errors mean, and how they are shown."""

from pymysql import MySQLError
from pymysql.constants import ER
from pymysql.err import IntegrityError, ProgrammingError

from conf.current import settings
from utils.errors import UnavailableError
from utils.log import logger

# The server is full, shuts down, refuses the login, became read-only, or killed the connection: a
# new connection may lead to a better one.
CONNECTION_ERRORS = {
    ER.CANT_LOCK,  # of tables that InnoDB has read-only
    ER.CON_COUNT_ERROR,
    ER.DBACCESS_DENIED_ERROR,
    ER.ACCESS_DENIED_ERROR,
    ER.UNKNOWN_COM_ERROR,  # Galera: not yet part of the cluster, or no more
    ER.SERVER_SHUTDOWN,
    ER.CANT_CREATE_THREAD,
    *range(ER.NET_READ_ERROR, ER.NET_WRITE_INTERRUPTED + 1),
    ER.TOO_MANY_USER_CONNECTIONS,
    ER.LOCK_TABLE_FULL,  # MySQL undid the whole transaction
    ER.USER_LIMIT_REACHED,  # of connections or of statements
    ER.OPTION_PREVENTS_STATEMENT,
    1792,  # read-only transaction, which the server may prescribe
    1836,  # read-only mode
    1927,  # MariaDB: connection was killed
    3032,  # MySQL: offline mode
    3169,  # MySQL: session was killed
    4031,  # MySQL: disconnected for inactivity
}
# The disk or the memory is full. The connection goes on.
FULL_ERRORS = {
    ER.DISK_FULL,
    ER.OUTOFMEMORY,
    ER.OUT_OF_SORTMEMORY,
    ER.OUT_OF_RESOURCES,
    ER.RECORD_FILE_FULL,
}
# A statement ran out of time, waited too long for a lock, lost a deadlock, or met what another one
# has changed; MySQL undid it.
RETRYABLE_ERRORS = {
    ER.CHECKREAD,  # MariaDB: innodb_snapshot_isolation
    ER.LOCK_WAIT_TIMEOUT,
    ER.LOCK_DEADLOCK,
    ER.QUERY_INTERRUPTED,
    ER.TABLE_DEF_CHANGED,
    1637,  # too many transactions at once
    1969,  # MariaDB: max_statement_time
    3024,  # MySQL: max_execution_time
    3058,  # a deadlock of GET_LOCK
    3101,  # MySQL: Group Replication
    3572,  # MySQL: NOWAIT
}
# Only these say that a COMMIT is undone: in a cluster, where other servers may object to it.
COMMIT_UNDONE_ERRORS = {ER.LOCK_DEADLOCK, 3101}
DUPLICATE_KEY_ERRORS = {ER.DUP_ENTRY, 1586}
# Errors whose words contain names and numbers of MySQL's, and no value of a statement.
ERRORS_WITHOUT_VALUES = {
    ER.BAD_NULL_ERROR,
    ER.BAD_FIELD_ERROR,
    ER.NO_SUCH_TABLE,
    ER.NO_DEFAULT_FOR_FIELD,
    ER.DATA_TOO_LONG,
    ER.WARN_DATA_OUT_OF_RANGE,
    ER.NO_REFERENCED_ROW_2,
    ER.ROW_IS_REFERENCED_2,
    ER.TABLEACCESS_DENIED_ERROR,
    ER.NET_PACKET_TOO_LARGE,
    ER.CONSTRAINT_FAILED,  # MariaDB's of a CHECK
    3819,  # MySQL's
    *CONNECTION_ERRORS,
    *FULL_ERRORS,
    *RETRYABLE_ERRORS,
}
NAMES = {code: name for name, code in vars(ER).items() if isinstance(code, int)}


class NotSentError(UnavailableError):
    """No connection was free, or could be made: nothing was sent."""

    undone = True


class RetryableError(UnavailableError):
    """Raise if MySQL undid the statement: a deadlock, a lock or the statement took too long.

    Nothing of it is written, so it can be sent again: a statement by itself, or all of its
    transaction. `mysql.retrying` does.
    """

    undone = True


class StatementError(MySQLError):
    """MySQL refused a statement; `args` are the code and the message, as PyMySQL has them.

    The message may quote values. str() and repr(), which end in logs and tracebacks, leave it out
    unless LOG_SQL_VALUES is set.
    """

    @property
    def code(self) -> int:
        """MySQL's number of the error; 0 if the statement was wrong before it was sent."""
        return code_of(self)

    def __str__(self) -> str:
        quotes_values = is_from_server(self.code) and self.code not in ERRORS_WITHOUT_VALUES
        if quotes_values and not settings.log.sql_values:
            return f"({self.code}, {self.summary()!r})"
        return super().__str__()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def summary(self) -> str:
        """Return the message without values."""
        return f"{NAMES.get(self.code, 'refused')}; LOG_SQL_VALUES=1 shows MySQL's message"


class DuplicateKeyError(StatementError, IntegrityError):
    """A value of a UNIQUE key or of the primary key exists already; `key` is the key's name."""

    @property
    def key(self) -> str:
        """The key's name, without the table that MySQL 8 puts before it; "" if it is not told.

        The message is "Duplicate entry 'a' for key 'b'"; MySQL cuts it at 512 bytes.
        """
        before, _, rest = str(self.args[1]).rpartition("'")
        return "" if rest else before.rpartition("'")[2].rpartition(".")[2]

    def summary(self) -> str:
        return f"Duplicate entry '...' for key '{self.key}'"


def code_of(error: MySQLError) -> int:
    """Return MySQL's number of an error, or 0."""
    code = error.args[0] if error.args else 0
    return code if isinstance(code, int) else 0


def is_from_server(code: int) -> bool:
    """Return whether it is the server's error; those from 2000 to 2999 are the client's own."""
    return 1000 <= code < 2000 or code >= 3000


def is_refusal(error: MySQLError) -> bool:
    """Return whether the statement alone failed, at the server or before it was sent."""
    code = code_of(error)
    if code == 0:
        return isinstance(error, ProgrammingError)  # values that do not fit the statement
    return is_from_server(code) and code not in CONNECTION_ERRORS | FULL_ERRORS


def as_statement_error(error: MySQLError) -> StatementError:
    """Return PyMySQL's error as one that shows no values."""
    cls = DuplicateKeyError if code_of(error) in DUPLICATE_KEY_ERRORS else StatementError
    copy = cls(*error.args)
    vars(copy).update(vars(error))  # its sqlstate
    return copy


def unavailable(
    error: Exception, cls: type[UnavailableError] = UnavailableError
) -> UnavailableError:
    """Return what the caller is told about a MySQL that is down or full; the log has the cause."""
    logger.warning("MySQL: %s", error)
    return cls("MySQL is not available")
