"""The body on its way in: cut short, wrongly chunked, too large, late, or never asked for."""

import contextlib
import socket
from pathlib import Path

import gevent
import pytest

from tests.support.service import Service
from tests.support.wire import HEAD, ORDER, Client, chunked, post, reply

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
CLOSING = b"Connection: close\r\n"


@pytest.mark.parametrize(
    ("rest", "logged"),
    [
        (b"Content-Length: 100\r\n\r\n{}", "98 bytes are missing"),
        (b"Content-Length: 15\r\n\r\n" + ORDER, "1 bytes are missing"),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\n{\r\n", "No more data"),
        (b"Transfer-Encoding: chunked\r\n\r\nff\r\n" + ORDER, "No more data"),
        (b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n", "Invalid chunk size"),
        (b"Transfer-Encoding: chunked\r\n\r\n1\r\n{ONE\r\n", "chunk terminator"),
        (b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", "Invalid chunk size"),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\nHost: y\r\n\r\n", "Invalid HTTP header name"),
    ],
)
def test_a_body_cut_short_or_wrongly_chunked_is_malformed(
    running: Service, rest: bytes, logged: str
) -> None:
    answer = reply(running, HEAD + rest, half_close=True)
    assert (answer.status, answer.envelope["err_code"]) == (400, -2)
    assert answer.headers["Connection"] == "close"
    (line,) = (line for line in running.log().splitlines() if answer.envelope["uuid"] in line)
    assert logged in line


def test_a_chunked_body_is_read(running: Service) -> None:
    assert reply(running, CHUNKED + CLOSING + b"\r\n" + chunked(ORDER, 3)).status == 200


@pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
@pytest.mark.parametrize("size", [10_001, 5_000_000])
def test_a_body_over_the_limit_gets_its_413_whole(
    running: Service, size: int, connection: bytes
) -> None:
    connection = b"Connection: " + connection + b"\r\n"
    body = ORDER + b" " * (size - len(ORDER))
    by_length = HEAD + connection + b"Content-Length: %d\r\n\r\n" % size + body
    by_chunks = CHUNKED + connection + b"\r\n" + chunked(body, 4096)
    for data in (by_length, by_chunks):
        answer = reply(running, data, half_close=True)
        assert (answer.status, answer.envelope["err_code"]) == (413, 413)


def test_the_limit_itself_is_accepted(running: Service) -> None:
    body = ORDER + b" " * (10_000 - len(ORDER))
    assert running.request(body=body)[0] == 200
    assert reply(running, CHUNKED + CLOSING + b"\r\n" + chunked(body, 1000)).status == 200


def send_for_ever(client: Client) -> None:
    with contextlib.suppress(OSError):
        while True:
            client.send(b"10000\r\n" + b" " * 65536 + b"\r\n")


def test_endless_bodies_take_little_memory_and_no_turn_of_others(running: Service) -> None:
    (worker,) = running.workers()

    def peak() -> int:
        status = Path(f"/proc/{worker}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0])

    before = peak()
    closing, keeping = Client(running), Client(running)
    closing.send(CHUNKED + CLOSING + b"\r\n")
    keeping.send(CHUNKED + b"\r\n")
    senders = [gevent.spawn(send_for_ever, client) for client in (closing, keeping)]
    while not all(map(gevent.Greenlet.ready, senders)):
        assert running.request()[0] == 200
    assert [closing.reply().status, keeping.reply().status] == [413, 413]
    closing.close()
    keeping.close()
    assert peak() - before < 5_000
    assert running.workers() == [worker]


def test_a_body_that_does_not_come_is_waited_for_until_the_deadline(running: Service) -> None:
    head = HEAD + b"X-Request-Timeout-Ms: 200\r\nContent-Length: 20\r\n\r\n"
    client = Client(running).send(head + b'{"order_id"')
    answer = client.reply()
    assert (answer.status, answer.envelope["err_code"]) == (504, -6)
    client.close()


def test_what_follows_a_half_read_chunk_is_no_request(running: Service) -> None:
    head = CHUNKED + b"X-Request-Timeout-Ms: 200\r\n\r\n"
    client = Client(running).send(head + b"ff\r\n{")
    answer = client.reply()
    assert (answer.status, answer.headers["Connection"]) == (504, "close")
    client.send(post())
    client.sock.shutdown(socket.SHUT_WR)
    assert client.is_closed()
    client.close()
