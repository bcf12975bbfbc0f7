"""The worker process: gunicorn's, with an end that loses no request."""

import gc
import os
import time
from contextlib import suppress
from enum import IntEnum
from typing import Any

import gevent
from gevent.lock import Semaphore
from gevent.pool import Group
from gevent.select import select
from gunicorn.http import wsgi
from gunicorn.workers.ggevent import GeventWorker

from conf.current import settings
from utils.log import logger
from utils.serve.connection import GRACE, Connection

HEARTBEAT = 1.0  # seconds
QUICK = 0.5  # seconds that requests in flight get after INT or QUIT; the master kills after 2


class Stage(IntEnum):
    """How far a worker is; the size of its heartbeat file, which the master sees too.

    The master makes it RETIRING, the worker itself all else.
    """

    BOOTING = 0
    SERVING = 1
    RETIRING = 2
    DRAINING = 3


class Response(wsgi.Response):
    """gunicorn's, but for the header that tells which server this is."""

    def default_headers(self) -> list[str]:
        headers: list[str] = super().default_headers()
        return [header for header in headers if not header.startswith("Server: ")]


class Worker(GeventWorker):
    """gunicorn's gevent worker with an accept loop, connections and a stop of its own.

    A stop: first the listeners are closed, so that new clients are refused and may go elsewhere.
    An idle connection is closed after GRACE seconds, one with a request in flight as soon as that
    is answered with `Connection: close`. A worker that retires at a reload leaves idle
    connections open, for their next request goes to its successor.
    """

    def init_process(self) -> None:
        self.connections: Any = Group()  # of Connection
        self.free = Semaphore(self.cfg.worker_connections)
        self.retiring = False
        self.give_up_at = float("inf")
        wsgi.Response = Response  # gunicorn has no setting for it
        super().init_process()

    @property
    def stage(self) -> Stage:
        return Stage(os.fstat(self.tmp.fileno()).st_size)

    @stage.setter
    def stage(self, stage: Stage) -> None:
        os.ftruncate(self.tmp.fileno(), stage)

    def run(self) -> None:
        """Serve until a signal says stop, then let the requests in flight finish."""
        acceptors = [gevent.spawn(self.accept, sock) for sock in self.sockets]
        self.stage = Stage.SERVING
        while self.alive:
            self.notify()
            # gunicorn writes to this pipe at a signal; gevent alone looks each 0.3 s.
            if any(select([self.PIPE[0]], [], [], HEARTBEAT)):
                os.read(self.PIPE[0], 4096)
        gevent.killall(acceptors)
        for sock in self.sockets:
            self.close_listener(sock)
        self.stage = Stage.DRAINING
        self.drain()
        gc.freeze()  # Python's last collection would copy all pages shared with the master: 80 ms

    def accept(self, listener: Any) -> None:
        """Accept connections for ever, WORKER_CONNECTIONS at a time at most."""
        while True:
            self.free.acquire()
            try:
                self.open(listener)
            except OSError as error:
                self.free.release()
                logger.error("cannot accept a connection: %s", error)
                gevent.sleep(1)  # out of file descriptors, most likely
            gevent.sleep(0)  # leave the rest of the backlog to the other workers

    def open(self, listener: Any) -> None:
        """Accept a connection, and serve it in a greenlet of its own."""
        sock, client = listener.accept()
        # SERVER_NAME and SERVER_PORT, which PEP 3333 wants: a Unix socket has neither.
        server = listener.getsockname()[:2] if client else ("localhost", 80)
        connection = Connection(self, sock, client, server)
        connection.link(lambda _: self.free.release())
        self.connections.start(connection)

    def close_listener(self, listener: Any) -> None:
        """Accept what is queued, then close: the kernel resets what is left in the queue."""
        listener.setblocking(False)
        with suppress(OSError):  # BlockingIOError at the end of the queue
            while True:
                self.open(listener)
        listener.close()

    def drain(self) -> None:
        """Wait for the requests in flight; end them when their time is over."""
        self.connections.join(GRACE)
        while self.connections and time.monotonic() < self.give_up_at:
            self.notify()
            if not self.retiring:
                for connection in self.connections:
                    connection.stop()
            self.connections.join(0.1)
        self.connections.kill(timeout=1)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop on TERM, at once; gunicorn's own loop looks up once a second."""
        if self.stage == Stage.BOOTING:  # nobody is served yet, and the imports may take long
            os._exit(0)
        self.retiring = self.alive and self.stage == Stage.RETIRING
        self.stop_within(settings.graceful_timeout)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop on INT and QUIT as on TERM, in a hurry."""
        self.handle_exit(sig, frame)
        self.stop_within(QUICK)

    def notify(self) -> None:
        """Show the master a sign of life; without a master nobody would replace this worker."""
        self.tmp.notify()
        if self.alive and self.ppid != os.getppid():
            logger.error("the master is gone")
            self.stop_within(settings.graceful_timeout)

    def stop_within(self, seconds: float) -> None:
        """Begin to stop, or shorten the time that is left for it."""
        self.alive = False
        self.give_up_at = min(self.give_up_at, time.monotonic() + seconds)
        for connection in self.connections:
            if connection.request:
                connection.request.force_close()  # gunicorn does so for later ones
