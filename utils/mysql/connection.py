"""A connection to MySQL: bounded in time, and closed without waiting."""

import select
import socket
import ssl
import time
from contextlib import suppress
from functools import cache
from typing import Any

import pymysql
from gevent import monkey
from pymysql.constants import SERVER_STATUS
from pymysql.cursors import Cursor

from conf.current import settings
from utils.context import fail_after
from utils.errors import UnavailableError
from utils.log import logger

poll = monkey.get_original("select", "poll")


def options() -> dict[str, Any]:
    """Return what a connection to MySQL takes, as the settings say."""
    if not settings.mysql.host:
        raise UnavailableError("MySQL is not configured")
    return {
        "host": settings.mysql.host,
        "port": settings.mysql.port,
        "user": settings.mysql.user,
        "password": settings.mysql.password.encode(),  # PyMySQL would take Latin-1
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


class Connection(pymysql.connections.Connection):  # type: ignore[misc]
    """A connection that logs in within MYSQL_CONNECT_TIMEOUT, and closes without waiting."""

    since = 0.0
    server: tuple[Any, ...] = ()
    _sock: Any

    def connect(self, sock: Any = None) -> None:
        """Connect and log in; `connect_timeout` alone bounds no more than TCP's handshake."""
        limit = settings.mysql.connect_timeout
        try:
            with fail_after(limit, TimeoutError(f"not connected within {limit:g} s")):
                super().connect(sock)
                self.limit_statements()
                self.server = self.identity()
            self.since = time.monotonic()
        except Exception as error:  # also what PyMySQL makes of a greeting that is none
            raise unavailable(error) from error
        finally:
            if not self.since:
                self.close()

    def limit_statements(self) -> None:
        """Have the server end what its client gave up, also if it cannot be told to."""
        seconds = settings.mysql.read_timeout
        if "MariaDB" in self.get_server_info():
            self.query(f"SET SESSION max_statement_time = {seconds:f}")
        else:
            self.query(f"SET SESSION max_execution_time = {seconds * 1000:.0f}")

    def identity(self) -> tuple[Any, ...]:
        """Return what tells the server from others behind the same address."""
        with self.cursor(Cursor) as cursor:
            cursor.execute("SELECT @@hostname, @@port")
            identity: tuple[Any, ...] = cursor.fetchone()
        return identity

    def close(self) -> None:
        """Close the socket, also while another greenlet reads; a COM_QUIT would have to wait."""
        sock, self._sock, self._rfile = self._sock, None, None
        if sock:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    @property
    def commits(self) -> bool:
        """Whether the next statement would be a transaction of its own."""
        in_transaction = self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS
        return self.get_autocommit() and not in_transaction


def is_quiet(connection: Connection) -> bool:
    """Tell whether an idle connection can be used: no end of it, no stray answer has arrived."""
    if not connection.open:
        return False
    poller = poll()
    poller.register(connection._sock, select.POLLIN)
    return not poller.poll(0)


def unavailable(error: Exception) -> UnavailableError:
    """Return what the caller learns of a MySQL that is away or full; the log has the cause."""
    logger.warning("MySQL: %s", error)
    return UnavailableError("MySQL is not available")
