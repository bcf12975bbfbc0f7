"""An HTTP proxy that asks for a user and a password, forwards, and tunnels."""

import base64
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent.server import StreamServer


class HTTPProxy:
    """`heads` are the requests as they arrived; `refusal` is what it answers to CONNECT if set."""

    def __init__(self, user: str = "", password: str = "", ip: str = "127.0.0.1") -> None:
        self.heads: list[str] = []
        self.refusal = b""
        self.expected = base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
        self.server = StreamServer((ip, 0), self.serve)
        self.server.start()
        self.address = f"127.0.0.1:{self.server.server_port}"

    def serve(self, client: socket.socket, _: object) -> None:
        with suppress(OSError), client, client.makefile("rb") as file:
            while line := file.readline().decode():
                fields = []
                while (field := file.readline().decode()) != "\r\n":
                    fields.append(field)
                self.heads.append(line + "".join(fields))
                self.answer(client, file, line, fields)

    def answer(self, client: socket.socket, file: Any, line: str, fields: list[str]) -> None:
        method, target, _ = line.split()
        if self.expected and f"Proxy-Authorization: Basic {self.expected}\r\n" not in fields:
            client.sendall(b"HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n")
        elif method == "CONNECT":
            self.tunnel(client, target)
        else:
            self.forward(client, file, line, fields)

    def tunnel(self, client: socket.socket, target: str) -> None:
        if self.refusal:
            client.sendall(self.refusal)
            raise ConnectionResetError
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port))) as server:
            client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            pumps = [gevent.spawn(pump, client, server), gevent.spawn(pump, server, client)]
            gevent.joinall(pumps, count=1)
            gevent.killall(pumps)
        raise ConnectionResetError

    def forward(self, client: socket.socket, file: Any, line: str, fields: list[str]) -> None:
        method, target, version = line.split()
        url = urlsplit(target)
        assert url.hostname
        length = sum(int(f.split()[1]) for f in fields if f.lower().startswith("content-length"))
        kept = [f for f in fields if not f.lower().startswith(("proxy-", "connection"))]
        path = target.split(url.netloc, 1)[1]
        head = f"{method} {path} {version}\r\n{''.join(kept)}Connection: close\r\n\r\n"
        with socket.create_connection((url.hostname, url.port or 80)) as server:
            server.sendall(head.encode() + file.read(length))
            server.shutdown(socket.SHUT_WR)
            pump(server, client)


def pump(source: socket.socket, target: socket.socket) -> None:
    """Copy one direction."""
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
