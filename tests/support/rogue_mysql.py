"""A server that speaks MySQL's protocol, and asks for what it should not get."""

import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from gevent.server import StreamServer

# PROTOCOL_41, CONNECT_WITH_DB, SECURE_CONNECTION, PLUGIN_AUTH, and lengths of any size; TLS.
CAPABILITIES, TLS = 0x0208 | 0x8000 | 1 << 19 | 1 << 21, 0x0800
OK = b"\0\0\0\2\0\0\0"
MORE, SWITCH = b"\x01", b"\xfe"
SALT = b"12345678901234567890"


def packets(first: int, *payloads: bytes) -> bytes:
    """Return packets, numbered from the first on."""
    heads = [len(payload).to_bytes(3, "little") for payload in payloads]
    numbers = [bytes([(first + index) % 256]) for index in range(len(payloads))]
    return b"".join(map(b"".join, zip(heads, numbers, payloads, strict=True)))


def greeting(method: str, more_flags: int = 0) -> bytes:
    """Return the server's first payload."""
    flags = CAPABILITIES | more_flags
    head = b"\x0a8.4.0\0" + struct.pack("<I", 7) + SALT[:8] + b"\0"
    rest = struct.pack("<HBHHB", flags & 0xFFFF, 45, 2, flags >> 16, 21)
    return head + rest + bytes(10) + SALT[8:] + b"\0" + method.encode() + b"\0"


class Wire:
    """A connection, in packets."""

    def __init__(self, sock: Any) -> None:
        self.sock, self.number = sock, 0
        self.received: list[bytes] = []

    def send(self, payload: bytes) -> None:
        self.sock.sendall(packets(self.number, payload))
        self.number = (self.number + 1) % 256

    def receive(self) -> bytes:
        head = self.read(4)
        self.number = (head[3] + 1) % 256
        self.received.append(self.read(int.from_bytes(head[:3], "little")))
        return self.received[-1]

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data


Answer = Callable[[Wire], None]


class RogueMySQL:
    """The server. `method` stands in its greeting; `login` and `query` say what it answers.

    `received` is all that clients have sent to it, decrypted.
    """

    def __init__(self, method: str, login: Answer, query: Answer, files: tuple[Path, Path] | None):
        self.method, self.login, self.query = method, login, query
        self.context = None
        if files:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*files)
        self.received: list[bytes] = []
        self.server = StreamServer(("127.0.0.1", 0), self.serve)
        self.server.start()
        self.port = self.server.server_port

    def serve(self, sock: Any, _: object) -> None:
        wire = Wire(sock)
        wire.received = self.received
        with suppress(OSError, EOFError):
            wire.send(greeting(self.method, TLS if self.context else 0))
            if self.context:
                wire.receive()
                wire.sock = self.context.wrap_socket(sock, server_side=True)
            wire.receive()
            self.login(wire)
            wire.send(OK)
            while True:
                wire.receive()
                self.query(wire)
        wire.sock.close()


@contextmanager
def rogue_mysql(
    method: str = "mysql_native_password",
    login: Answer = lambda wire: None,
    query: Answer = lambda wire: wire.send(OK),
    files: tuple[Path, Path] | None = None,
) -> Iterator[RogueMySQL]:
    server = RogueMySQL(method, login, query, files)
    yield server
    server.server.stop()


KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def switch_to(method: str, then: Answer = lambda wire: None) -> Answer:
    """Return a login that has the client prove its password in another way."""

    def login(wire: Wire) -> None:
        wire.send(SWITCH + method.encode() + b"\0" + SALT + b"\0")
        wire.receive()
        then(wire)

    return login


def ask_for_all(wire: Wire) -> None:
    """Say that a hash is not enough, and offer a key to encrypt the password with."""
    wire.send(MORE + b"\x04")
    if wire.receive() in (b"\x01", b"\x02"):
        give_key(wire)


def give_key(wire: Wire) -> None:
    wire.send(MORE + PEM)
    wire.receive()


def ask_at_prompt(wire: Wire) -> None:
    wire.send(SWITCH + b"dialog\0\x02Password: ")
    wire.receive()


def accept_hash(wire: Wire) -> None:
    wire.send(MORE + b"\x03")


def ask_for_file(wire: Wire) -> None:
    """Answer a statement by what LOAD DATA LOCAL INFILE is answered with."""
    wire.send(b"\xfb/etc/passwd")
    wire.receive()
