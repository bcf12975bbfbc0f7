"""A connection to MySQL: bounded in time, and closed without waiting.

Private attributes of PyMySQL: `_sock`, `_rfile`. It has no public way to its socket, and with TLS
that is another one than the socket which `connect` takes.
"""

import select
import socket
import ssl
import time
from contextlib import suppress
from functools import cache
from typing import Any

import pymysql
from gevent import monkey
from pymysql.constants import ER, SERVER_STATUS
from pymysql.err import OperationalError

from conf.current import settings
from utils.context import fail_after
from utils.errors import UnavailableError

poll = monkey.get_original("select", "poll")  # gevent's would switch to another greenlet


def options() -> dict[str, Any]:
    """Return what all connections to MySQL have in common, as the settings say."""
    if not settings.mysql.host:
        raise UnavailableError("MySQL is not configured")
    return {
        "host": settings.mysql.host,
        "port": settings.mysql.port,
        "user": settings.mysql.user,
        "password": settings.mysql.password.encode(),  # PyMySQL would encode it as Latin-1
        "database": settings.mysql.database,
        "charset": "utf8mb4",
        "autocommit": True,
        "connect_timeout": settings.mysql.connect_timeout,
        "ssl": tls_context(),
        "ssl_disabled": settings.mysql.tls == "off",
    }


@cache
def tls_context() -> ssl.SSLContext | None:
    """Return the context that all connections share: making one takes longer than connecting."""
    if settings.mysql.tls == "off":
        return None
    context = ssl.create_default_context(cafile=settings.mysql.tls_ca or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # MySQL's own certificates fail it
    if settings.mysql.tls == "on":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Connection(pymysql.connections.Connection):
    """A connection that logs in within MYSQL_CONNECT_TIMEOUT, and closes without waiting.

    The server ends a statement after `statement_timeout` seconds; None is no limit.
    """

    server_status: int
    server_thread_id: tuple[int]
    server_version: str
    _sock: Any

    def __init__(self, *, statement_timeout: float | None = None, **others: Any) -> None:
        self.statement_timeout = statement_timeout or 0.0
        self.connected_at = 0.0  # in seconds of time.monotonic()
        self.server_id: tuple[Any, ...] = ()
        self.max_packet = 0
        super().__init__(**others)

    def connect(self, sock: Any = None) -> None:
        """Connect and log in; PyMySQL's `connect_timeout` bounds no more than TCP's handshake."""
        limit = settings.mysql.connect_timeout
        try:
            with fail_after(limit, TimeoutError(f"not connected within {limit:g} s")):
                super().connect(sock)
                self.limit_statements()
                self.autocommit(True)  # the server's init_connect may have changed it
                self.identify_server()
            self.connected_at = time.monotonic()
        finally:
            if not self.connected_at:
                self.close()

    def limit_statements(self) -> None:
        """Set the server's own limit: it also holds if a KILL cannot reach the server."""
        seconds = self.statement_timeout
        with self.cursor() as cursor:
            if "MariaDB" in self.server_version:
                cursor.execute(f"SET SESSION max_statement_time = {seconds:f}")
            else:
                cursor.execute(f"SET SESSION max_execution_time = {seconds * 1000:.0f}")

    def identify_server(self) -> None:
        """Ask what distinguishes the server from others at its address, and for its limit."""
        with self.cursor() as cursor:
            cursor.execute("SELECT @@hostname, @@port, @@max_allowed_packet")
            hostname, port, self.max_packet = cursor.fetchone() or ("", 0, 0)
        self.server_id = (hostname, port)

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
        return super().query(sql, unbuffered)

    def close(self) -> None:
        """Close the socket, also while another greenlet reads; a COM_QUIT would have to wait."""
        sock, self._sock, self._rfile = self._sock, None, None
        if sock:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    @property
    def is_idle(self) -> bool:
        """Whether the next statement would be a transaction of its own."""
        in_transaction = self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS
        return self.get_autocommit() and not in_transaction


def is_usable(connection: Connection) -> bool:
    """Return whether nothing has arrived on an idle connection: its end, or a stray answer."""
    if not connection.open:
        return False
    poller = poll()
    poller.register(connection._sock, select.POLLIN)
    return not poller.poll(0)
