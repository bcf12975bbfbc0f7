"""gunicorn's parser, with bounds, faults in a body as OSErrors and `100 Continue` when needed.

Private attributes of gunicorn: `_expected_100_continue` of its Request, whose response gunicorn
would send before the application is called, and `_read_reader` of its Body, through which every
way to read the body goes.
"""

from collections.abc import Callable
from typing import Any

import gevent
from gunicorn.http import body, message, parser, unreader
from gunicorn.http.errors import ParseException

from utils.errors import clip
from utils.serve.refusal import describe_head, fault_of

# In bytes, of the fields together, in a head or after a body. gunicorn takes 100 of 8 KB, and looks
# at all of them again for each byte that comes: 0.3 ms.
HEAD_LIMIT = 1 << 15
# What comes as fast as it is read never lets gevent switch: neither other connections nor timeouts
# nor the worker's heartbeat would get a turn. Of chunks of a byte each, 8 KB take 3 ms.
TURN = 1 << 13


class Unreader(unreader.SocketUnreader):
    """What the connection sends; the other connections have their turns meanwhile."""

    turn = 0  # bytes received since the last one

    def chunk(self, size_hint: int | None = None) -> bytes:
        if self.turn >= TURN:
            self.turn = 0
            gevent.sleep(0)
        data: bytes = super().chunk(size_hint)
        self.turn += len(data)
        return data


class Body(body.Body):
    """`wsgi.input`: asks the client for the body when it is first read."""

    def __init__(self, send_continue: Callable[[], None], reader: Any) -> None:
        super().__init__(reader)
        self.send_continue = send_continue

    def _read_reader(self, size: int) -> bytes:
        self.send_continue()
        missing = getattr(self.reader, "length", 0)
        try:
            data: bytes = super()._read_reader(size)
        except ParseException as error:
            raise OSError(f"the body is wrongly chunked: {fault_of(error)}") from None
        except BaseException:  # a deadline: a chunk may be half read
            self.failed = True
            raise
        if len(data) < min(size, missing):  # gunicorn takes a lost connection for the end (#3234)
            self.failed = True
            raise OSError(f"the body is cut short: {missing - len(data)} bytes are missing")
        return data


class Request(message.Request):
    """The head of a request, and its body to be read."""

    body: Any
    _expected_100_continue: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.head = b""
        try:
            super().__init__(*args, **kwargs)
        except ParseException as error:
            if self.version:  # the last that is read of the request line
                error.add_note(f"{self.method} {clip(self.path, 200)}")
            error.add_note(describe_head(error, self.head))
            raise
        self.awaits_continue, self._expected_100_continue = self._expected_100_continue, False

    def parse(self, unreader: Any) -> Any:
        self.max_buffer_headers = HEAD_LIMIT
        return super().parse(unreader)

    def parse_headers(self, data: bytes, from_trailer: bool = False) -> Any:
        if not from_trailer:
            self.head = data
        return super().parse_headers(data, from_trailer)

    def set_body_reader(self) -> None:
        super().set_body_reader()
        self.body = Body(self.send_continue, self.body.reader)

    def send_continue(self) -> None:
        """Tell a client that waits for it to send the body (RFC 9110, 10.1.1)."""
        if self.awaits_continue:
            self.awaits_continue = False
            self.unreader.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def should_close(self) -> bool:
        """Return whether this is the connection's last request.

        A client that was not told to send its body may send it all the same, and after a fault
        the end of the body is unknown: what comes next could pass for a request.
        """
        return self.awaits_continue or self.body.failed or bool(super().should_close())


class Parser(parser.RequestParser):
    """Yields the requests of a connection."""

    mesg_class = Request

    def __init__(self, cfg: Any, sock: Any, client: Any) -> None:
        super().__init__(cfg, sock, client)
        self.unreader = Unreader(sock)
