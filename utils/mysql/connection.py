"""A connection to MySQL: bounded in time, and closed without waiting.

Private attributes of PyMySQL: `_sock`, `_rfile`. It has no public way to its socket, and with TLS
that is another one than the socket which `connect` takes. `_get_server_information` comes before it
may send a password, and `_read_bytes` reads all that arrives. `_read_query_result` makes the
`_result`, whose `_get_descriptions` says how to decode its columns, whose packets `_read_packet`
reads, and `_check_packet_is_eof` knows the last of. `_read_timeout` bounds each read.
"""

import math
import socket
import time
from contextlib import suppress
from typing import Any

import pymysql
from pymysql import MySQLError
from pymysql.connections import MySQLResult
from pymysql.constants import CR, ER, SERVER_STATUS
from pymysql.cursors import DictCursor
from pymysql.err import InterfaceError, OperationalError

from conf.current import settings
from utils.context import fail_after
from utils.mysql.errors import is_refusal
from utils.mysql.login import check_first_method, password
from utils.mysql.rows import Row
from utils.mysql.session import variables, warn_once
from utils.mysql.values import Quote, literal, quote, quote_without_backslashes
from utils.turns import Turns, is_readable

MAX_ANSWER_BYTES = 256 << 20
READ_COST = 128  # of a read, in bytes that take as long: without it, small rows leave few turns
VECTOR = 242


class Answer(MySQLResult):
    """An answer, of which PyMySQL would decode a type that it does not know as ASCII."""

    fields: list[Any]
    converters: list[Any]

    def __del__(self) -> None:
        """Read nothing; whoever leaves an answer closes the connection, or reads to its end."""

    def _get_descriptions(self) -> None:
        super()._get_descriptions()  # type: ignore[misc]
        for index, field in enumerate(self.fields):
            if field.type_code == VECTOR:
                self.converters[index] = (None, None)


class Connection(pymysql.connections.Connection):
    """A connection that logs in within MYSQL_CONNECT_TIMEOUT, and closes without waiting.

    The server ends a statement after `statement_timeout` seconds.
    """

    server_status: int
    server_thread_id: tuple[int]
    server_version: str
    password: bytes
    _sock: Any
    _result: Any

    def __init__(self, *, statement_timeout: float = math.inf, **others: Any) -> None:
        self.statement_timeout = self.usual_timeout = statement_timeout
        self.connected_at = 0.0  # in seconds of time.monotonic()
        self.server_id: tuple[Any, ...] = ()
        self.max_packet = 0
        self.turns = Turns()
        self.answer_bytes = 0
        super().__init__(**others)

    def connect(self, sock: Any = None) -> None:
        """Connect and log in; PyMySQL's `connect_timeout` bounds no more than TCP's handshake."""
        limit = settings.mysql.connect_timeout
        self.password = password()
        try:
            with fail_after(limit, TimeoutError(f"not connected within {limit:g} s")):
                super().connect(sock)
                self.set_up()
            self.connected_at = time.monotonic()
        except (MySQLError, OSError):
            raise
        except Exception as error:  # struct.error, IndexError and others
            message = f"what answers at {self.host}:{self.port} is not MySQL ({error})"
            raise InterfaceError(message) from None
        finally:
            if not self.connected_at:
                self.close()

    def _get_server_information(self) -> None:
        super()._get_server_information()  # type: ignore[misc]
        check_first_method(self)

    def _read_bytes(self, num_bytes: int) -> bytes:
        """Read, but no more than a worker can hold, and not as if it were alone."""
        self.answer_bytes += num_bytes
        if self.answer_bytes > MAX_ANSWER_BYTES:
            message = f"the answer is larger than {MAX_ANSWER_BYTES} bytes"
            raise OperationalError(CR.CR_NET_PACKET_TOO_LARGE, message)
        self.turns.count(num_bytes + READ_COST)
        data: bytes = super()._read_bytes(num_bytes)  # type: ignore[misc]
        return data

    def _read_query_result(self, unbuffered: bool = False) -> int:
        self._result = None
        result = Answer(self)
        if unbuffered:
            result.init_unbuffered_query()
        else:
            result.read()
        self._result = result
        if result.server_status is not None:
            self.server_status = result.server_status
        return result.affected_rows or 0

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        """Leave it to `set_up`, which sets all in one round trip."""

    def set_up(self) -> None:
        """Set the session, and ask what distinguishes the server from others at its address."""
        assignments = variables(self.is_mariadb, self.statement_timeout)
        if self.try_to(f"SET {', '.join(assignments.values())}") is None:
            for name, assignment in assignments.items():
                if self.try_to(f"SET {assignment}") is None:
                    warn_once(name)
        self.autocommit(True)  # costs nothing if it is on; a write must not be lost
        rows = self.try_to("SELECT @@hostname AS host, @@port AS port, @@max_allowed_packet AS max")
        if rows is None:
            warn_once("its name")
            return
        (row,) = rows
        self.server_id = (row["host"], row["port"])
        self.max_packet = row["max"]

    def try_to(self, sql: str) -> list[Row] | None:
        """Send a statement, and return its rows; None if the server refuses it."""
        try:
            return self.rows(sql)
        except MySQLError as error:
            if not is_refusal(error):
                raise
            return None

    def rows(self, sql: str | bytes, *values: Any) -> list[Row]:
        """Send a statement, read its whole answer, and return its rows."""
        with self.cursor(DictCursor) as cursor:
            cursor.execute(sql, values or None)  # type: ignore[arg-type]  # bytes go in too
            return list(cursor.fetchall())

    def query(self, sql: Any, unbuffered: bool = False) -> int:
        """Send a statement, unless it is too large.

        The server closes the connection on one that is, and its error is lost while the statement
        is still being sent: that would be the error of a statement that may have been done.
        """
        if isinstance(sql, str):
            sql = sql.encode(self.encoding)
        size = len(sql) + 1  # with the byte of the command
        if 0 < self.max_packet <= size:
            message = f"{size} bytes, but max_allowed_packet is {self.max_packet}"
            raise OperationalError(ER.NET_PACKET_TOO_LARGE, message)
        self.answer_bytes = 0
        try:
            return super().query(sql, unbuffered)
        except RuntimeError as error:  # a file is asked for, which is refused
            raise InterfaceError(str(error)) from None

    def close(self) -> None:
        """Close the socket, also while another greenlet reads; a COM_QUIT would have to wait."""
        sock, self._sock, self._rfile, self._result = self._sock, None, None, None
        if sock:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def limit_statements(self, seconds: float, wait: float) -> None:
        """Remember what the server was told, and wait so long for it."""
        self.statement_timeout = seconds
        self._read_timeout = None if wait == math.inf else wait

    def skip_rows(self, most: float) -> bool:
        """Read what is left of an answer's rows, undecoded; stop after that many bytes, if ever.

        Return whether it was all.
        """
        result, last = self._result, self.answer_bytes + most
        while result.unbuffered_active:
            if self.answer_bytes > last:
                return False
            result.unbuffered_active = not result._check_packet_is_eof(
                self._read_packet()  # type: ignore[no-untyped-call]
            )
        return True

    @property
    def is_mariadb(self) -> bool:
        return "MariaDB" in self.server_version

    @property
    def quote(self) -> Quote:
        """What makes literals of texts for this session as it is, which each answer tells."""
        plain = self.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES
        return quote_without_backslashes if plain else quote

    def escape(self, obj: Any, mapping: Any = None) -> str:
        """Return a literal; PyMySQL would send str() of what it does not know."""
        return literal(obj, self.quote)

    @property
    def is_idle(self) -> bool:
        """Whether the next statement would be a transaction of its own."""
        in_transaction = self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS
        return self.get_autocommit() and not in_transaction


def is_usable(connection: Connection) -> bool:
    """Return whether nothing has arrived on an idle connection: its end, or a stray answer."""
    return connection.open and not is_readable(connection._sock)
