"""One client's connection: its requests one after the other, and how it ends."""

import socket
from typing import Any

import gevent
from gunicorn.workers.base_async import AsyncWorker

from utils.log import logger
from utils.serve.parser import Parser, Request
from utils.serve.refusal import refusal
from utils.turns import is_readable

SEND_TIMEOUT = 60.0  # seconds
LINGER = 2.0  # seconds
GRACE = 0.1  # seconds that a request which is on its way gets when the service stops


class Connection(gevent.Greenlet):
    """A greenlet that serves a client; `request` is the one in flight.

    It replaces gunicorn's loop, and the HTTP/2 in that: a proxy speaks HTTP/1.1 to us.
    """

    def __init__(self, worker: Any, sock: Any, client: Any, server: tuple[str, int]) -> None:
        super().__init__()
        self.worker, self.sock, self.client, self.server = worker, sock, client, server
        self.output = Output(sock)
        self.parser = Parser(worker.cfg, sock, client)
        self.request: Request | None = None

    def _run(self) -> None:
        """Answer requests until the client or the worker has no more."""
        try:
            while (request := self.read_request()) and self.answer(request):
                # Without it the other connections get no turn while the next request is always
                # here already: at 32 connections p99 was 100 to 400 ms, with it 12 to 18.
                gevent.sleep(0)
        except OSError as error:
            logger.debug("connection lost: %s", reason(error))
        except (Exception, SystemExit) as error:  # SystemExit would end the worker
            self.refuse(error)
        finally:
            self.sock.close()

    def read_request(self) -> Request | None:
        """Wait for the next request's head; return None if the client takes too long or leaves."""
        self.request = None
        seconds = self.worker.cfg.keepalive
        self.request = gevent.with_timeout(seconds, next, self.parser, None, timeout_value=None)
        return self.request

    def answer(self, request: Request) -> bool:
        """Answer the request; return whether the connection stays open."""
        try:  # GeventWorker.handle_request would swallow GreenletExit
            AsyncWorker.handle_request(self.worker, self.server, request, self.output, self.client)
        except StopIteration:  # gunicorn's sign that the response said `Connection: close`
            self.linger()
            return False
        return True

    def refuse(self, error: BaseException) -> None:
        """Respond to what is refused, or fails, outside of the application."""
        try:
            self.output.sendall(refusal(error, self.client))
            self.linger()
        except OSError as lost:
            logger.debug("connection lost: %s", reason(lost))

    def linger(self) -> None:
        """Say that nothing more will be sent, and wait for the client to close.

        The kernel resets a connection that is closed while the client's data is unread, such as
        the rest of a body; then the response may be lost (RFC 9112, 9.6).
        """
        seconds = GRACE
        if self.worker.alive:
            seconds, self.request = LINGER, None  # a stop that comes later need not wait for it
        self.sock.shutdown(socket.SHUT_WR)
        gevent.with_timeout(seconds, self.discard_input, timeout_value=None)

    def discard_input(self) -> None:
        while self.sock.recv(65536):
            gevent.sleep(0)  # or else data that is always there stops the clock

    def stop(self) -> None:
        """End the connection, unless a request is in flight or has just come in."""
        if self.request is None and not is_readable(self.sock):
            self.kill(block=False)


class Output:
    """A socket to write to: a client that takes nothing for so many seconds is given up.

    One that is slow is not. gevent's `sendall` has one limit for all of the data, and asks the
    kernel for the size of its buffer at every call.
    """

    def __init__(self, sock: Any, seconds: float = SEND_TIMEOUT) -> None:
        self.sock, self.seconds = sock, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        self.sock.settimeout(self.seconds)  # of each `send`; reads have their own limits
        try:
            while rest:
                rest = rest[self.sock.send(rest) :]
        finally:
            self.sock.settimeout(None)


def reason(lost: OSError) -> str:
    """Return why a connection ended; gunicorn's NoMoreData would say all of an unfinished head."""
    return lost.strerror or type(lost).__name__
