"""The worker process: gunicorn's, with HTTP's own refusals as envelopes too."""

import os
import socket
import time
from enum import IntEnum
from functools import partial
from http import HTTPStatus
from typing import Any

import gevent
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.http.errors import (
    ConfigurationProblem,
    ExpectationFailed,
    ForbiddenProxyRequest,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.util import write_nonblock
from gunicorn.workers.ggevent import GeventWorker

from utils.context import request_uuid
from utils.errors import HTTPError, ServiceError
from utils.log import logger
from utils.web.envelope import Envelope
from utils.web.request import choose_uuid

# RFC 9112, 6.1 says 501 for a transfer coding that is not understood; only the client can mend
# it, so it gets 400 as every other fault in a head does.
STATUSES: dict[type[Exception], HTTPStatus] = {
    ConfigurationProblem: HTTPStatus.NOT_FOUND,  # a path that is not below SCRIPT_NAME
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    ForbiddenProxyRequest: HTTPStatus.FORBIDDEN,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
}
OWN_FAULTS = (InvalidResponseHeader, InvalidResponseHeaderName)
LINGER = 2.0


class Stage(IntEnum):
    """How far a worker is; the size of its heartbeat file tells the master."""

    BOOTING = 0
    SERVING = 1
    RETIRED = 2


class Worker(GeventWorker):  # type: ignore[misc]
    """gunicorn's gevent worker: prompt, fair between connections, answering in envelopes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stopping = Event()

    @property
    def stage(self) -> Stage:
        """How far the worker is, as the master and the worker itself see it."""
        return Stage(os.fstat(self.tmp.fileno()).st_size)

    @stage.setter
    def stage(self, stage: Stage) -> None:
        os.ftruncate(self.tmp.fileno(), stage)

    def run(self) -> None:
        """Serve until a signal says stop, then let the requests in flight finish."""
        # A connection may be accepted just before its listener is closed, and gunicorn asks the
        # listener for its address first: a duplicate stays open.
        servers = [
            StreamServer(
                sock, partial(self.handle, sock.dup()), spawn=Pool(self.cfg.worker_connections)
            )
            for sock in self.sockets
        ]
        for server in servers:
            server.max_accept = 1  # leave the rest of the backlog to the other workers
            server.start()
        self.stage = Stage.SERVING
        while self.alive:
            self.notify()
            self.stopping.wait(1)
        for server in servers:
            server.close()
        self.stage = Stage.RETIRED
        deadline = time.monotonic() + self.cfg.graceful_timeout
        while any(len(server.pool) for server in servers) and time.monotonic() < deadline:
            self.notify()
            gevent.sleep(0.05)
        for server in servers:
            server.stop(timeout=1)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Take TERM at once; gunicorn's own loop looks up once a second."""
        super().handle_exit(sig, frame)
        self.stopping.set()

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer one request; let the other connections have their turn after it."""
        try:
            super().handle_request(listener_name, req, sock, addr)
        except StopIteration:
            if unread(req):
                linger(sock)
            raise
        gevent.sleep(0)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what HTTP or gunicorn refuses before the application is called."""
        uuid = choose_uuid(None)
        request_uuid.set(uuid)
        if isinstance(exc, ParseException) and not isinstance(exc, OWN_FAULTS):
            status = STATUSES.get(type(exc), HTTPStatus.BAD_REQUEST)
            error: ServiceError = HTTPError(status.phrase.lower(), status=status)
            logger.info("- - %d %d - %s", error.status, error.err_code, exc)
        else:
            error = ServiceError()
            logger.error("unforeseen error", exc_info=exc)
        try:
            write_nonblock(client, raw(Envelope(uuid, {}, error=error), uuid))
            linger(client)
        except OSError:
            logger.debug("the client is gone")


def raw(response: Envelope, uuid: str) -> bytes:
    """Return the response as it goes over the wire, the last one of its connection."""
    response.headers.extend({"X-Request-ID": uuid, "Connection": "close"})
    head = f"HTTP/1.1 {response.status}\r\n{response.headers}"
    return head.encode("latin-1") + response.get_data()


def unread(req: Any) -> bool:
    """Tell whether a part of the request's body is still to come."""
    reader = req.body.reader
    return bool(getattr(reader, "length", 0) or getattr(reader, "parser", None))


def linger(sock: Any) -> None:
    """Read on for a while: closing with input unread resets the answer away (RFC 9112, 9.6)."""
    sock.shutdown(socket.SHUT_WR)
    with gevent.Timeout(LINGER, False):
        while sock.recv(65536):
            pass
