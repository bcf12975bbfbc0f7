"""A connection and its requests, one after the other; and the worker that serves it."""

import os
import signal
import socket
import time
from urllib.request import urlopen

import pytest

from tests.serve.conftest import Gated
from tests.support.service import Service, wait_until
from tests.support.wire import HEAD, ORDER, Client, post
from utils.turns import is_readable

LAST = HEAD + b"Connection: close\r\nContent-Length: 14\r\n\r\n" + ORDER


def test_several_requests_go_over_one_connection(running: Service) -> None:
    client = Client(running).send(post() * 5 + LAST)
    answers = [client.reply() for _ in range(6)]
    assert [answer.envelope["err_code"] for answer in answers] == [0] * 6
    assert [answer.headers["Connection"] for answer in answers] == ["keep-alive"] * 5 + ["close"]
    assert client.is_closed()
    client.close()


def test_a_refused_request_does_not_spoil_its_connection(running: Service) -> None:
    client = Client(running).send(post(body=b"{}") + LAST)
    assert [client.reply().status, client.reply().status] == [400, 200]
    client.close()


def test_an_idle_connection_is_closed_after_keepalive(service: Service) -> None:
    service.env["KEEPALIVE"] = "1"
    service.sh("start", check=True)
    for data in (b"", HEAD + b"Content-Le"):
        started = time.monotonic()
        client = Client(service).send(data)
        assert client.is_closed()
        assert time.monotonic() - started > 0.5
        client.close()


def test_head_has_the_headers_of_get_and_no_body(running: Service) -> None:
    ask = b" /seen?a=seen HTTP/1.1\r\nHost: x\r\nX-Request-ID: y\r\nConnection: close\r\n\r\n"
    get, head = running.exchange(b"GET" + ask), running.exchange(b"HEAD" + ask)
    assert head.endswith(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert get.endswith(b'"data":"seen"}')

    def headers(answer: bytes) -> list[bytes]:
        lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
        return [line for line in lines if not line.startswith(b"Date")]

    assert headers(get) == headers(head)


def test_a_crashing_route_leaves_the_worker_serving(running: Service) -> None:
    (worker,) = running.workers()
    for path in ("/leave", "/surrogate"):
        status, envelope, _ = running.request(path)
        assert (status, envelope["err_code"], envelope["err_msg"]) == (500, -1, "server error")
        assert envelope["uuid"] in running.log("error")
    assert running.request()[0] == 200
    assert running.workers() == [worker]


def test_a_header_that_http_forbids_does_not_lose_the_answer(running: Service) -> None:
    with urlopen(f"http://127.0.0.1:{running.port}/header") as answer:
        assert (answer.status, answer.read(), answer.headers["A b"]) == (200, b"x", None)


def test_a_killed_worker_is_replaced(service: Service) -> None:
    service.sh("start", check=True)
    before = service.workers()
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(service.workers()) == 2 and before[0] not in service.workers())
    assert service.request()[0] == 200


def test_input_that_has_just_come_is_seen() -> None:
    service, client = socket.socketpair()
    assert not is_readable(service)
    client.send(b"x")
    assert is_readable(service)
    service.close()
    client.close()


def test_clients_beyond_the_limit_wait_for_a_free_place(gated: Gated) -> None:
    gated.env.update(WORKERS="1", WORKER_CONNECTIONS="2")
    gated.sh("start", check=True)
    first = [gated.connect(post("/gate")) for _ in range(2)]
    gated.await_begun(2)
    third = gated.connect(post())
    third.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        third.sock.recv(1)
    third.sock.settimeout(30)
    gated.open_gate()
    assert [client.reply().status for client in first] == [200, 200]
    first[0].close()
    assert third.reply().status == 200
