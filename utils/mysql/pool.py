"""The MySQL connections of a worker process: bounded in number, never shared."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import gevent
from dbutils.pooled_db import PooledDB, PooledDedicatedDBConnection
from gevent.lock import BoundedSemaphore
from pymysql import MySQLError
from pymysql.cursors import DictCursor

from conf.current import settings
from utils.errors import UnavailableError
from utils.log import logger
from utils.mysql.connection import Connection, is_quiet, options


class Pool:
    """At most MYSQL_POOL_SIZE connections, lent to one greenlet at a time.

    PooledDB keeps those that are idle. It would connect, ping and wait under its lock, so it
    gets connections that are not connected yet, a ping without I/O, and never a wait.
    """

    def __init__(self) -> None:
        size = settings.mysql.pool_size
        self.slots = BoundedSemaphore(size)
        self.pooled = PooledDB(
            lambda: Connection(
                **options(),
                cursorclass=DictCursor,
                defer_connect=True,
                read_timeout=settings.mysql.read_timeout,
                write_timeout=settings.mysql.write_timeout,
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
        if self.slots.linkcount():
            gevent.sleep(0)  # those who wait are first, also when the last one asks again at once
        if not self.slots.acquire(timeout=settings.mysql.pool_timeout):
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
    """Kill connections at the server, unless it is another or was restarted: ids are its own."""
    killer = Connection(**options(), cursorclass=DictCursor, read_timeout=2, write_timeout=2)
    try:
        with killer.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Uptime'")
            (row,) = cursor.fetchall()
        started = time.monotonic() - int(row["Value"])
        for connection in connections:
            if connection.server == killer.server and started <= connection.since:
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
