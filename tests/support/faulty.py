"""An upstream that answers, or fails to, as the path of a request asks for."""

import gzip
import json
import os
import random
import socket
from contextlib import suppress
from typing import Any, NamedTuple

import gevent
from gevent.event import Event
from gevent.server import StreamServer

from tests.support.proxy import RESET

BOMB = gzip.compress(bytes(100 << 20), 1)


class Received(NamedTuple):
    """A request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.split("?")[0]


class Faulty:
    """The server. The first segment of a path names the method that answers; else `echo` does.

    `requests` are those that arrived, `connections` how many were opened, `open` the sockets
    that are. `never` is an event that is not set before the end: what waits for it hangs.
    """

    def __init__(self, address: tuple[str, int] = ("127.0.0.1", 0), **options: Any) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.open: set[socket.socket] = set()
        self.never = Event()
        self.arrived = Event()
        self.location = ""
        self.pause = 0.0  # seconds before the body of a request is read
        self.server = StreamServer(address, self.serve, **options)
        self.server.start()
        assert self.server.server_port
        self.port = self.server.server_port
        self.scheme = "https" if options else "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.never.set()
        self.server.stop()

    def count(self, path: str) -> int:
        return sum(request.path == path for request in self.requests)

    def serve(self, sock: socket.socket, _: object) -> None:
        self.connections += 1
        self.open.add(sock)
        with suppress(OSError), sock, sock.makefile("rb") as file:
            while request := self.receive(file):
                self.requests.append(request)
                self.arrived.set()
                getattr(self, request.path.split("/")[1], self.echo)(sock, request)
        self.open.discard(sock)

    def receive(self, file: Any) -> Received | None:
        line = file.readline().decode().split()
        if not line:
            return None
        headers = {}
        while field := file.readline().decode().strip():
            name, _, value = field.partition(": ")
            headers[name.lower()] = value
        gevent.sleep(self.pause)
        return Received(line[0], line[1], headers, file.read(int(headers.get("content-length", 0))))

    def answer(self, sock: Any, body: bytes, status: str = "200 OK", *fields: str | bytes) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
        head = b"\r\n".join(line.encode() if isinstance(line, str) else line for line in lines)
        sock.sendall(head + body)

    def close_connections(self) -> None:
        for sock in self.open:
            sock.shutdown(socket.SHUT_RDWR)

    def echo(self, sock: Any, request: Received) -> None:
        """Answer with the last segment of the path."""
        self.answer(sock, json.dumps({"id": request.path.split("/")[-1]}).encode())

    def status(self, sock: Any, request: Received) -> None:
        """Answer with the status that is the last segment."""
        self.answer(sock, b'"why"', f"{request.path.split('/')[-1]} So")

    # Slow ones.

    def slow(self, sock: Any, request: Received) -> None:
        gevent.sleep(random.uniform(0, 0.1))
        self.echo(sock, request)

    def torn(self, sock: Any, request: Received) -> None:
        """Answer in two parts with a pause between."""
        body = json.dumps({"id": request.path.split("/")[-1]}).encode()
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:5])
        gevent.sleep(random.uniform(0, 0.1))
        sock.sendall(body[5:])

    def hang(self, sock: Any, request: Received) -> None:
        self.never.wait()

    def half(self, sock: Any, request: Received) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        self.never.wait()

    def dribble(self, sock: Any, request: Received, status: bytes = b"200 OK") -> None:
        """Send a byte of the body now and then, for ever."""
        sock.sendall(b"HTTP/1.1 %s\r\nTransfer-Encoding: chunked\r\n\r\n" % status)
        while not self.never.wait(0.01):
            sock.sendall(b"1\r\n \r\n")

    def dribble_busy(self, sock: Any, request: Received) -> None:
        self.dribble(sock, request, b"503 Busy")

    # Broken ones.

    def reset(self, sock: Any, request: Received) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        raise ConnectionResetError

    def cut(self, sock: Any, request: Received) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        sock.shutdown(socket.SHUT_RDWR)

    def hang_up(self, sock: Any, request: Received) -> None:
        sock.shutdown(socket.SHUT_RDWR)

    def garbage(self, sock: Any, request: Received) -> None:
        sock.sendall(b"garbage\r\n\r\n")
        sock.shutdown(socket.SHUT_RDWR)

    def break_tls(self, sock: Any, request: Received) -> None:
        os.write(sock.fileno(), b"this is not TLS")

    def early_hints(self, sock: Any, request: Received) -> None:
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        self.echo(sock, request)

    def continue_first(self, sock: Any, request: Received) -> None:
        sock.sendall(b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" * 3)
        self.echo(sock, request)

    def two_answers(self, sock: Any, request: Received) -> None:
        self.answer(sock, b'{"id":"1"}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}')

    # Large and packed ones.

    def big(self, sock: Any, request: Received) -> None:
        self.answer(sock, bytes(10 << 20))

    def endless(self, sock: Any, request: Received) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(bytes(1 << 16))

    def bomb(self, sock: Any, request: Received) -> None:
        self.answer(sock, BOMB, "200 OK", "Content-Encoding: gzip")

    def zipped_twice(self, sock: Any, request: Received) -> None:
        self.answer(sock, gzip.compress(BOMB), "200 OK", "Content-Encoding: gzip, gzip")

    def zipped(self, sock: Any, request: Received) -> None:
        self.answer(sock, gzip.compress(b'{"id":"z"}'), "200 OK", "Content-Encoding: gzip")

    def not_zipped(self, sock: Any, request: Received) -> None:
        self.answer(sock, b"not gzip", "200 OK", "Content-Encoding: gzip")

    # Refusals and redirects.

    def busy(self, sock: Any, request: Received) -> None:
        self.answer(sock, b"busy", "503 Busy", "Retry-After: 3600")

    def busy_twice(self, sock: Any, request: Received) -> None:
        if self.count(request.path) <= 2:
            self.busy(sock, request)
        else:
            self.echo(sock, request)

    def redirect(self, sock: Any, request: Received) -> None:
        """Redirect to `location`, bytes as they are, with the status that is the last segment."""
        location = self.location.encode("utf-8", "surrogateescape")
        status = f"{request.path.split('/')[-1]} Go"
        self.answer(sock, b"-" * 99, status, b"Location: " + location, "Set-Cookie: a=b")

    def redirect_again(self, sock: Any, request: Received) -> None:
        self.answer(sock, b"", "302 Found", f"Location: {request.target}")

    def odd_cookie(self, sock: Any, request: Received) -> None:
        """Send a cookie that http.cookiejar cannot parse."""
        self.answer(sock, b"{}", "200 OK", f"Set-Cookie: a=b; Max-Age={'9' * 500}")

    def cookie(self, sock: Any, request: Received) -> None:
        self.answer(sock, b"{}", "200 OK", "Set-Cookie: a=b; Path=/")
