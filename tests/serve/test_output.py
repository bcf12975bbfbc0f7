"""What a client takes of its answer, and how long the service waits for that."""

from collections.abc import Iterator

import gevent
import pytest
from gevent import socket

from utils.serve.connection import Output

ANSWER = bytes(range(256)) * 40_000


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The service's end of a connection, and the client's."""
    service, client = socket.socketpair()
    yield service, client
    service.close()
    client.close()


def read(client: socket.socket, pause: float) -> bytes:
    received = b""
    while part := client.recv(1 << 18):
        received += part
        gevent.sleep(pause)
    return received


def test_a_slow_client_gets_all_of_it(ends: tuple[socket.socket, socket.socket]) -> None:
    service, client = ends
    reader = gevent.spawn(read, client, 0.02)
    Output(service, 0.5).sendall(ANSWER)
    service.shutdown(socket.SHUT_WR)
    assert reader.get(timeout=30) == ANSWER


def test_a_client_that_takes_nothing_is_given_up(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    service, _ = ends
    with gevent.Timeout(30), pytest.raises(TimeoutError):
        Output(service, 0.1).sendall(ANSWER)


def test_reads_keep_their_own_limits(ends: tuple[socket.socket, socket.socket]) -> None:
    service, client = ends
    Output(service, 0.1).sendall(b"x")
    assert (client.recv(1), service.gettimeout()) == (b"x", None)
