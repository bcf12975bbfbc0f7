"""The MySQL connections of a worker process: bounded in number, never shared."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import gevent
from dbutils.pooled_db import PooledDB, PooledDedicatedDBConnection
from gevent.lock import BoundedSemaphore
from pymysql import MySQLError

from conf.current import settings
from utils.context import check_deadline, per_process, spared, time_left
from utils.log import logger
from utils.mysql.connection import Connection, is_usable
from utils.mysql.errors import NotSentError, unavailable
from utils.mysql.login import options


class Pool:
    """At most MYSQL_POOL_SIZE connections, lent to one greenlet at a time.

    PooledDB keeps the idle ones. It would connect, ping and wait under its lock, so it gets
    connections that are not connected yet, a ping without I/O, and never a wait.
    """

    def __init__(self) -> None:
        self.size = settings.mysql.pool_size
        self.slots = BoundedSemaphore(self.size)
        self.pooled = PooledDB(
            lambda: Connection(
                **options(),
                defer_connect=True,
                statement_timeout=settings.mysql.read_timeout,
                read_timeout=settings.mysql.read_timeout,
                write_timeout=settings.mysql.write_timeout,
            ),
            maxcached=self.size,
            maxconnections=self.size,
            reset=False,
            ping=is_usable,
        )
        self.to_kill: list[tuple[Connection, PooledDedicatedDBConnection]] = []

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection that is connected; raise UnavailableError if none is free in time."""
        self.take_slot(settings.mysql.pool_timeout)
        try:
            lease = self.pooled.connection(shareable=False)
        except BaseException:
            self.slots.release()
            raise
        connection: Connection = lease.dbapi_connection
        try:
            if not connection.open:
                connect(connection)
            yield connection
        finally:
            self.release(connection, lease)

    def take_slot(self, limit: float) -> None:
        """Wait for so many seconds at most, or for what the request has left."""
        check_deadline()
        if self.slots.linkcount():
            gevent.sleep(0)  # or one that asks again at once would overtake those that wait
        with spared(limit):  # a cut would not say that nothing was sent
            left = time_left(limit)  # none in a greenlet that outlives its request
            taken = self.slots.acquire(timeout=left if left > 0 else limit)
        if not taken:
            check_deadline()
            raise NotSentError("MySQL is busy")

    def release(self, connection: Connection, lease: PooledDedicatedDBConnection) -> None:
        """Take a connection back; one that is closed has to be killed before its slot is free."""
        if connection.open and not connection.is_idle:
            connection.close()  # the server rolls back; a ROLLBACK would have to be waited for
        if connection.open or not connection.connected_at:
            self.free_slot(lease)
            return
        self.to_kill.append((connection, lease))
        if len(self.to_kill) == 1:
            gevent.spawn(self.kill_closed)

    def free_slot(self, lease: PooledDedicatedDBConnection) -> None:
        """Let the next greenlet have it; a closed connection is replaced when it is lent."""
        lease.close()
        self.slots.release()

    def kill_closed(self) -> None:
        """End what the server still runs for closed connections, then free their slots.

        So the server never has more than MYSQL_POOL_SIZE connections of this process, and the one
        that kills.
        """
        while self.to_kill:
            batch = self.to_kill[:]
            try:
                kill([connection for connection, _ in batch])
            except Exception as error:  # whatever it is, the slots have to come back
                logger.warning("MySQL: cannot kill closed connections: %s", error)
            finally:
                del self.to_kill[: len(batch)]
                for _, lease in batch:
                    self.free_slot(lease)


def connect(connection: Connection) -> None:
    """Connect, whatever time the request has left.

    After a hundred logins that were cut, MySQL refuses this host (max_connect_errors).
    """
    try:
        with spared(settings.mysql.connect_timeout):
            return connection.connect()
    except (MySQLError, OSError) as raised:
        error = unavailable(raised, NotSentError)
    raise error  # out here, for it hides nothing that may have been done


def kill(connections: Sequence[Connection]) -> None:
    """Kill connections at their server.

    Their ids are the server's own: another one behind the same address, or the same one after a
    restart, has given them to others.
    """
    with Connection(**options(), read_timeout=2, write_timeout=2) as killer:
        (row,) = killer.rows("SHOW GLOBAL STATUS LIKE 'Uptime'")
        started_at = time.monotonic() - int(row["Value"])
        for connection in connections:
            same = connection.server_id == killer.server_id
            if same and connection.server_id and started_at <= connection.connected_at:
                with suppress(MySQLError):  # most have ended by themselves
                    killer.rows(f"KILL {connection.server_thread_id[0]:d}")


pool = per_process(Pool)
