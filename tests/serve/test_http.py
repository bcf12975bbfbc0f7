"""The real server: what gunicorn refuses, reads and closes is the contract's too."""

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import Service, wait_until

HEAD = b"POST /test HTTP/1.1\r\nHost: x\r\n"
ORDER = b'{"order_id":1}'


def split(answer: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Return the status, the headers and the envelope of one response."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(body) == int(headers["Content-Length"])
    return int(status.split()[1]), headers, json.loads(body)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"POST /test HTTP/3.0\r\n\r\n", 400),
        (b"po?st /test HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST /te st HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST /t\xc3\xa4st HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"POST /" + b"x" * 2_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (HEAD + b"no colon\r\n\r\n", 400),
        (HEAD + b"Na me: x\r\n\r\n", 400),
        (HEAD + b"Name: a\x00b\r\n\r\n", 400),
        (HEAD + b"Name: x\r\n folded\r\n\r\n", 400),
        (HEAD + b"Name: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (HEAD + b"Name: " + b"x" * 2_000_000 + b"\r\n\r\n", 431),
        (HEAD + b"".join(b"X-%d: y\r\n" % number for number in range(200)) + b"\r\n", 431),
        (HEAD + b"Host: y\r\n\r\n", 400),
        (HEAD + b"Content-Length: x\r\n\r\n", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: snail\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 400),
        (HEAD + b"Expect: miracles\r\n\r\n", 417),
        (b"POST /test HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"POST /test HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n", 400),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_what_http_refuses_is_an_envelope(running: Service, data: bytes, status: int) -> None:
    got, headers, envelope = split(running.exchange(data, half_close=True))
    assert (got, envelope["err_code"], envelope["data"]) == (status, status, None)
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Request-ID"] == envelope["uuid"]
    assert headers["Connection"] == "close"
    assert envelope["uuid"] in running.log()


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 100\r\n\r\n{}",
        b"Content-Length: 15\r\n\r\n" + ORDER,
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n{\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nff\r\n" + ORDER,
        b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\n{ONE\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    ],
)
def test_a_body_cut_short_or_wrongly_chunked_is_malformed(running: Service, rest: bytes) -> None:
    status, _, envelope = split(running.exchange(HEAD + rest, half_close=True))
    assert (status, envelope["err_code"]) == (400, -2)


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_a_chunked_body_is_read(running: Service) -> None:
    head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert split(running.exchange(head + chunked(ORDER, 3)))[0] == 200


@pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
@pytest.mark.parametrize("size", [10_001, 5_000_000])
def test_a_body_over_the_limit_gets_its_413_whole(
    running: Service, size: int, connection: bytes
) -> None:
    head, body = HEAD + b"Connection: " + connection + b"\r\n", ORDER + b" " * (size - len(ORDER))
    by_length = head + b"Content-Length: %d\r\n\r\n" % size + body
    by_chunks = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, 4096)
    for data in (by_length, by_chunks):
        status, _, envelope = split(running.exchange(data, half_close=True))
        assert (status, envelope["err_code"]) == (413, 413)


def test_an_endless_body_is_refused_in_little_memory(running: Service) -> None:
    (worker,) = running.workers()

    def peak() -> int:
        status = Path(f"/proc/{worker}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0])

    before = peak()
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as sock:
        sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            while sent < 50_000_000:
                sent += sock.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
        except OSError:
            pass
    assert peak() - before < 5_000
    assert running.request()[0] == 200


def test_the_limit_itself_is_accepted(running: Service) -> None:
    body = ORDER + b" " * (10_000 - len(ORDER))
    assert running.request(body=body)[0] == 200
    head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert split(running.exchange(head + chunked(body, 1000)))[0] == 200


@pytest.mark.parametrize(
    "header", ["SCRIPT_NAME: /x", "X-Forwarded-Prefix: /x", "X_Request_ID: x", "PATH_INFO: /x"]
)
def test_headers_that_only_a_proxy_may_set_are_not_believed(running: Service, header: str) -> None:
    data = HEAD + header.encode() + b"\r\nConnection: close\r\nContent-Length: 14\r\n\r\n" + ORDER
    status, headers, _ = split(running.exchange(data))
    assert status == 200
    assert headers["X-Request-ID"] != "x"


def test_several_requests_go_over_one_connection(running: Service) -> None:
    one = HEAD + b"Content-Length: 14\r\n\r\n" + ORDER
    last = HEAD + b"Connection: close\r\nContent-Length: 14\r\n\r\n" + ORDER
    answer = running.exchange(one * 5 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 6
    assert answer.count(b'"err_code":0') == 6


def test_a_refused_request_does_not_spoil_its_connection(running: Service) -> None:
    refused = HEAD + b"Content-Length: 2\r\n\r\n{}"
    last = HEAD + b"Connection: close\r\nContent-Length: 14\r\n\r\n" + ORDER
    answer = running.exchange(refused + last)
    assert b"HTTP/1.1 400" in answer
    assert b"HTTP/1.1 200" in answer


def test_an_idle_connection_is_closed_after_keepalive(service: Service) -> None:
    service.env["KEEPALIVE"] = "1"
    service.sh("start", check=True)
    started = time.monotonic()
    assert service.exchange(HEAD + b"Content-Le") == b""
    assert 0.5 < time.monotonic() - started < 3


def test_head_has_the_headers_of_get_and_no_body(service: Service) -> None:
    service.add_route("seen", "return Envelope(request.uuid, {}, request.args['a'])")
    service.sh("start", check=True)
    ask = b" /seen?a=seen HTTP/1.1\r\nHost: x\r\nX-Request-ID: y\r\nConnection: close\r\n\r\n"
    get, head = service.exchange(b"GET" + ask), service.exchange(b"HEAD" + ask)
    assert head.endswith(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert split(get)[2]["data"] == "seen"
    assert f"Content-Length: {split(get)[1]['Content-Length']}\r\n" in head.decode()


def test_a_crashing_route_leaves_the_worker_serving(service: Service) -> None:
    service.env["WORKERS"] = "1"
    service.add_route("leave", "import sys; sys.exit('gone')")
    service.add_route("surrogate", "return Envelope(request.uuid, {}, chr(0xD800))")
    service.add_route("header", "return Response('x', headers={'A b': 'c'})")
    service.sh("start", check=True)
    (worker,) = service.workers()
    for path in ("/leave", "/surrogate", "/header"):
        status, envelope, _ = service.request(path)
        assert (status, envelope["err_code"], envelope["err_msg"]) == (500, -1, "server error")
        assert envelope["uuid"] in service.log("error")
    assert service.request()[0] == 200
    assert service.workers() == [worker]


def test_a_worker_killed_is_replaced(service: Service) -> None:
    service.sh("start", check=True)
    before = service.workers()
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(service.workers()) == 2 and before[0] not in service.workers())
    assert service.request()[0] == 200


def test_a_body_that_does_not_come_is_waited_for_until_the_deadline(running: Service) -> None:
    head = b"POST /test HTTP/1.1\r\nHost: x\r\nX-Request-Timeout-Ms: 200\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as sock:
        sock.sendall(head + b'Content-Length: 20\r\n\r\n{"order_id"')
        started, answer = time.monotonic(), b""
        while not answer.endswith(b"}"):  # the head may come alone
            answer += sock.recv(65536)
    assert 0.1 < time.monotonic() - started < 0.35
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b'"err_code":-6' in answer
