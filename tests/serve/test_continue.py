"""Expect: 100-continue: the client is asked for its body only where somebody reads it."""

import pytest

from tests.support.service import Service
from tests.support.wire import HEAD, ORDER, Client, chunked

EXPECT = b"Expect: 100-continue\r\n"


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"Content-Length: 14\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n",
    ],
)
def test_a_client_is_told_to_go_on_when_its_body_is_read(running: Service, head: bytes) -> None:
    client = Client(running).send(head + EXPECT + b"\r\n")
    assert client.reply().status == 100
    client.send(chunked(ORDER, 5) if b"chunked" in head else ORDER)
    answer = client.reply()
    assert (answer.status, answer.headers["Connection"]) == (200, "keep-alive")
    client.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HEAD + b"Content-Length: 10001\r\n", 413),
        (b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n", 404),
        (b"PUT /test HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n", 405),
        (b"POST /test HTTP/1.1\r\nHost: a b\r\nContent-Length: 14\r\n", 400),
        (b"POST /test HTTP/1.1\r\nContent-Length: 14\r\n", 400),
        (HEAD + b"Content-Length: 14\r\nContent-Encoding: gzip\r\n", 415),
        (HEAD + b"Content-Length: 14\r\nX-Request-Timeout-Ms: 0\r\n", 504),
        (HEAD + b"Content-Length: x\r\n", 400),
    ],
)
def test_no_body_is_asked_for_where_nobody_reads_it(
    running: Service, head: bytes, status: int
) -> None:
    client = Client(running).send(head + EXPECT + b"\r\n")
    answer = client.reply()
    assert (answer.status, answer.headers["Connection"]) == (status, "close")
    client.close()


def test_a_body_that_nobody_asked_for_is_no_request(running: Service) -> None:
    body = HEAD + b"Content-Length: 14\r\n\r\n" + ORDER
    head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
    client = Client(running).send(head + EXPECT + b"\r\n" + body)
    assert client.reply().status == 404
    client.sock.shutdown(1)
    assert client.is_closed()
    client.close()


def test_http_1_0_has_no_100_continue(running: Service) -> None:
    head = b"POST /test HTTP/1.0\r\nHost: x\r\nContent-Length: 14\r\n"
    client = Client(running).send(head + EXPECT + b"\r\n" + ORDER)
    assert client.reply().status == 200
    client.close()
