"""What one connection sends holds up no other one, however fast it comes and small it is."""

from itertools import pairwise

import gevent
import pytest
from gunicorn.config import Config

from utils.serve.parser import Parser

HEAD = b"POST /test HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


class Prompt:
    """A socket whose data is always there already, so that no read of it waits."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def recv(self, size: int) -> bytes:
        piece = self.data[self.position : self.position + size]
        self.position += len(piece)
        return piece


@pytest.mark.parametrize(
    ("body", "step"),
    [
        (CHUNKED + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n", 20_000),
        (CHUNKED + (b"1;" + b"a=b;" * 1000 + b"a=b\r\nx\r\n") * 30 + b"0\r\n\r\n", 20_000),
        (CHUNKED + b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 90 + b"\r\n", 20_000),
        (CHUNKED + b"%x\r\n%s\r\n" % (10_000, bytes(10_000)) * 12 + b"0\r\n\r\n", 20_000),
        (b"Content-Length: 3000000\r\n\r\n" + bytes(3_000_000), 1 << 20),
    ],
    ids=["chunks of a byte", "long extensions", "trailers", "long chunks", "no chunks"],
)
def test_other_connections_have_their_turns_while_a_body_is_read(body: bytes, step: int) -> None:
    sock = Prompt(HEAD + body)
    at_turns = [0]

    def other_connection() -> None:
        while True:
            at_turns.append(sock.position)
            gevent.sleep(0)

    other = gevent.spawn(other_connection)
    gevent.sleep(0)
    request = next(Parser(Config(), sock, ("127.0.0.1", 1)))
    while request.body.read(65536):
        pass
    other.kill()
    steps = [after - before for before, after in pairwise(at_turns)]
    assert sock.position == len(sock.data)
    assert max(steps) <= step
