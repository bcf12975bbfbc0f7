"""The MySQL connections of a worker process: bounded in number and in time, never shared."""

import os
import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import gevent
import pymysql
from dbutils.pooled_db import PooledDB, PooledDedicatedDBConnection
from gevent import monkey
from gevent.lock import BoundedSemaphore
from pymysql import MySQLError
from pymysql.constants import SERVER_STATUS
from pymysql.cursors import DictCursor

from conf.settings import settings
from utils.errors import UnavailableError
from utils.log import logger

poll = monkey.get_original("select", "poll")


def options() -> dict[str, Any]:
    """Return what a connection to MySQL takes, as the settings say."""
    if not settings.mysql_host:
        raise UnavailableError("MySQL is not configured")
    return {
        "host": settings.mysql_host,
        "port": settings.mysql_port,
        "user": settings.mysql_user,
        "password": settings.mysql_password.encode(),  # PyMySQL would take Latin-1
        "database": settings.mysql_database,
        "charset": "utf8mb4",
        "autocommit": True,
        "connect_timeout": settings.mysql_connect_timeout,
        "ssl": tls_context(),
        "ssl_disabled": settings.mysql_tls == "off",
    }


@cache
def tls_context() -> ssl.SSLContext | None:
    """Return the context that all connections share: making one takes longer than connecting."""
    if settings.mysql_tls == "off":
        return None
    context = ssl.create_default_context(cafile=settings.mysql_tls_ca or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # MySQL's own certificates fail it
    if settings.mysql_tls == "on":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Connection(pymysql.connections.Connection):  # type: ignore[misc]
    """A connection that logs in within MYSQL_CONNECT_TIMEOUT, and closes without waiting."""

    since = 0.0
    _sock: Any

    def connect(self, sock: Any = None) -> None:
        """Connect and log in; `connect_timeout` alone bounds no more than TCP's handshake."""
        limit = settings.mysql_connect_timeout
        try:
            with gevent.Timeout(limit, TimeoutError(f"not within {limit:g} s")):
                super().connect(sock)
                self.limit_statements()
            self.since = time.monotonic()
        except MySQLError as error:
            raise unavailable(error) from error
        finally:
            if not self.since:
                self.close()

    def limit_statements(self) -> None:
        """Have the server end what its client gave up, also if it cannot be told to."""
        seconds = settings.mysql_read_timeout
        if "MariaDB" in self.get_server_info():
            self.query(f"SET SESSION max_statement_time = {seconds:f}")
        else:
            self.query(f"SET SESSION max_execution_time = {seconds * 1000:.0f}")

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


def unavailable(error: MySQLError) -> UnavailableError:
    """Return what the caller learns of a MySQL that is away or full; the log has the cause."""
    logger.warning("MySQL: %s", error)
    return UnavailableError("MySQL is not available")


class Pool:
    """At most MYSQL_POOL_SIZE connections, lent to one greenlet at a time.

    PooledDB keeps those that are idle. It would connect, ping and wait under its lock, so it
    gets connections that are not connected yet, a ping without I/O, and never a wait.
    """

    def __init__(self) -> None:
        size = settings.mysql_pool_size
        self.slots = BoundedSemaphore(size)
        self.pooled = PooledDB(
            lambda: Connection(
                **options(),
                cursorclass=DictCursor,
                defer_connect=True,
                read_timeout=settings.mysql_read_timeout,
                write_timeout=settings.mysql_write_timeout,
            ),
            maxcached=size,
            maxconnections=size,
            reset=False,
            ping=is_quiet,
        )
        self.abandoned: list[tuple[Connection, PooledDedicatedDBConnection]] = []

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection that is connected; UnavailableError if none is free in time."""
        if not self.slots.acquire(timeout=settings.mysql_pool_timeout):
            raise UnavailableError("MySQL is busy")
        try:
            lease = self.pooled.connection(shareable=False)
        except BaseException:
            self.slots.release()
            raise
        connection: Connection = lease.dbapi_connection
        try:
            if not connection.open:
                connection.connect()
            yield connection
        finally:
            self.take_back(connection, lease)

    def take_back(self, connection: Connection, lease: PooledDedicatedDBConnection) -> None:
        """Pool a connection that is as good as new; have any other one killed first."""
        if connection.open and not connection.commits:
            logger.warning("MySQL: a transaction or a session without autocommit was left open")
            connection.close()
        if connection.open or not connection.since:
            self.free(lease)
            return
        self.abandoned.append((connection, lease))
        if len(self.abandoned) == 1:
            gevent.spawn(self.kill_abandoned)

    def free(self, lease: PooledDedicatedDBConnection) -> None:
        """Give the slot to the next one; a closed connection is replaced when it is lent."""
        lease.close()
        self.slots.release()

    def kill_abandoned(self) -> None:
        """End what the server still runs for connections that were given up; free their slots.

        The slots wait for that, so that the server never has more than MYSQL_POOL_SIZE
        connections of this process, and this one.
        """
        while self.abandoned:
            batch = self.abandoned[:]
            try:
                kill([connection for connection, _ in batch])
            except Exception as error:  # whatever it is, the slots have to come back
                logger.warning("MySQL: cannot kill abandoned connections: %s", error)
            finally:
                del self.abandoned[: len(batch)]
                for _, lease in batch:
                    self.free(lease)


def kill(connections: list[Connection]) -> None:
    """Kill connections at the server, unless it was restarted: then the ids are others'."""
    killer = Connection(**options(), cursorclass=DictCursor, read_timeout=2, write_timeout=2)
    try:
        with killer.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Uptime'")
            (row,) = cursor.fetchall()
        started = time.monotonic() - int(row["Value"])
        for connection in connections:
            if started <= connection.since:
                with suppress(MySQLError):  # most have ended by themselves
                    killer.kill(connection.thread_id())
    finally:
        killer.close()


pools: dict[int, Pool] = {}


def pool() -> Pool:
    """Return this process's pool, made at first use: a fork must not share connections."""
    pid = os.getpid()
    if pid not in pools:
        pools[pid] = Pool()
    return pools[pid]
