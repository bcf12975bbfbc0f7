"""HTTP as bytes, for tests of what stands in front of the application."""

import json
import socket
from http.client import HTTPConnection
from typing import Any, NamedTuple

from tests.support.service import Service

HEAD = b"POST /test HTTP/1.1\r\nHost: x\r\n"
ORDER = b'{"order_id":1}'


def post(path: str = "/test", body: bytes = ORDER) -> bytes:
    """Return a request of a client that keeps its connection."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def chunked(body: bytes, size: int) -> bytes:
    """Return the body in chunks of this size."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class Reply(NamedTuple):
    """A response: its status, its headers, its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def envelope(self) -> dict[str, Any]:
        """The body, which is JSON."""
        fields: dict[str, Any] = json.loads(self.body)
        return fields


class Client:
    """A connection whose bytes the test chooses."""

    def __init__(self, service: Service) -> None:
        self.sock = socket.create_connection(("127.0.0.1", service.port), timeout=30)
        self.file = self.sock.makefile("rb")

    def send(self, data: bytes) -> "Client":
        self.sock.sendall(data)
        return self

    def reply(self) -> Reply:
        """Read one response; EOFError if the service closed instead."""
        line = self.file.readline()
        if not line:
            raise EOFError
        headers = {}
        while (header := self.file.readline()) not in (b"\r\n", b""):
            name, value = header.decode("latin-1").rstrip("\r\n").split(": ", 1)
            headers[name] = value
        body = self.file.read(int(headers.get("Content-Length", 0)))
        return Reply(int(line.split()[1]), headers, body)

    def is_closed(self) -> bool:
        """Wait for what comes next; return whether it is the end, without a reset."""
        return not self.file.read(1)

    def close(self) -> None:
        self.file.close()
        self.sock.close()


def reply(service: Service, data: bytes, half_close: bool = False) -> Reply:
    """Return the response to these bytes, which has to be the last of its connection."""
    client = Client(service).send(data)
    if half_close:
        client.sock.shutdown(socket.SHUT_WR)
    answer = client.reply()
    assert client.is_closed()
    client.close()
    return answer


class UnixConnection(HTTPConnection):
    """An HTTP connection over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)
