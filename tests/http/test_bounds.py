"""A call ends in time and takes no more memory than it may, whatever the upstream does."""

import socket
import time

import gevent
import pytest
from gevent.server import StreamServer

from tests.support.faulty import Faulty
from tests.support.floods import flood
from tests.support.turns import other_turns
from utils.context import deadline, request_deadline
from utils.dev.servers import free_port
from utils.errors import DeadlineError, UnavailableError
from utils.http import Upstream


def ask(upstream: Upstream, name: object) -> str:
    return upstream.get("/echo", str(name)).decode(dict[str, str])["id"]  # typed: not Any


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/reset", "warehouse closed the connection early"),
        ("/cut", "warehouse closed the connection early"),
        ("/hang_up", "warehouse closed the connection early"),
        ("/garbage", "warehouse sent an invalid response"),
        ("/not_zipped", "warehouse sent an invalid response"),
        ("/zipped_twice", "warehouse sent an invalid response"),
        ("/big", "warehouse answered more than 4194304 bytes"),
        ("/endless", "warehouse answered more than 4194304 bytes"),
        ("/bomb", "warehouse answered more than 4194304 bytes"),
        ("/early_hints", "warehouse answered 103"),
        ("/status/500", "warehouse answered 500"),
        ("/status/429", "warehouse answered 429"),
        ("/status/407", "warehouse answered 407"),
        ("/busy", "warehouse answered 503"),
    ],
)
def test_a_failure_is_told_sent_once_if_a_post_and_spoils_no_later_call(
    faulty: Faulty, upstream: Upstream, path: str, message: str, method: str
) -> None:
    with pytest.raises(UnavailableError) as raised:
        upstream.request(method, path)
    assert str(raised.value) == message
    if method == "POST":
        assert faulty.count(path) == 1
    assert [ask(upstream, n) for n in range(3)] == ["0", "1", "2"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/hang", "/half", "/dribble"])
def test_the_total_time_ends_a_call_and_spoils_no_later_one(
    faulty: Faulty, upstream: Upstream, path: str, method: str
) -> None:
    upstream.total_timeout = 0.4
    with pytest.raises(UnavailableError, match=r"^warehouse did not answer within 0.4 s$"):
        upstream.request(method, path)
    assert faulty.count(path) <= 1  # 0 on a machine that is busy for so long
    upstream.total_timeout = 20
    assert [ask(upstream, n) for n in range(3)] == ["0", "1", "2"]


def test_the_read_time_ends_a_call(faulty: Faulty) -> None:
    upstream = Upstream("warehouse", faulty.url, read_timeout=0.1, total_timeout=20, retries=0)
    with pytest.raises(UnavailableError, match=r"^warehouse did not answer within 0.1 s$"):
        upstream.get("/hang")


def test_the_total_time_bounds_all_retries_together(faulty: Faulty) -> None:
    upstream = Upstream("warehouse", faulty.url, total_timeout=0.4, retries=10_000)
    with pytest.raises(UnavailableError, match=r"did not answer within 0.4 s"):
        upstream.get("/busy")


def test_the_body_of_a_refusal_is_not_waited_for(upstream: Upstream) -> None:
    with pytest.raises(UnavailableError, match="answered 503"):
        upstream.get("/dribble_busy")
    assert ask(upstream, 1) == "1"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_body_of_a_refusal_is_not_read(method: str) -> None:
    head = "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n"
    part = f"10000\r\n{' ' * 0x10000}\r\n"
    with flood(head, part) as url, pytest.raises(UnavailableError, match="answered 503"):
        Upstream("warehouse", url, total_timeout=20).request(method, "/")


def test_the_body_of_a_redirect_is_not_read() -> None:
    head = "HTTP/1.1 302 Found\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n"
    part = f"10000\r\n{' ' * 0x10000}\r\n"
    with flood(head, part) as url, pytest.raises(UnavailableError, match="redirects too often"):
        Upstream("warehouse", url, total_timeout=20).get("/")


@pytest.mark.parametrize(
    ("head", "part"),
    [
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("", f"HTTP/1.1 100 Continue\r\n{'A: b' * 9}\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", f"1;{'x' * 9000}\r\n \r\n"),
        # Empty members of a gzip file: a body that never grows.
        (
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
            "\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0",
        ),
    ],
    ids=["100 Continue", "100 Continue with headers", "chunk extensions", "empty gzip members"],
)
def test_a_flood_is_cut_off_in_time_and_leaves_others_their_turn(head: str, part: str) -> None:
    with (
        other_turns() as turns,
        flood(head, part) as url,
        pytest.raises(UnavailableError) as cut_off,
    ):
        Upstream("warehouse", url, total_timeout=0.5).post("/")
    # Newer versions of http.client (3.14.10 is one) give up by themselves after a hundred of these.
    gave_up = "100 Continue" in part and "invalid response" in str(cut_off.value)
    assert gave_up or "within 0.5 s" in str(cut_off.value)
    assert gave_up or turns.count > 1


def test_a_response_of_just_max_bytes_is_read(faulty: Faulty) -> None:
    size = len(b'{"id": "1"}')
    assert ask(Upstream("warehouse", faulty.url, max_bytes=size), 1) == "1"
    with pytest.raises(UnavailableError, match=f"answered more than {size - 1} bytes"):
        ask(Upstream("warehouse", faulty.url, max_bytes=size - 1), 1)


def test_an_upstream_that_refuses_connections_cannot_be_reached() -> None:
    upstream = Upstream("warehouse", f"http://127.0.0.1:{free_port()}", total_timeout=20)
    with pytest.raises(UnavailableError, match=r"^warehouse cannot be reached$"):
        upstream.post("/echo/1")


def test_an_upstream_that_drops_packets_cannot_be_reached() -> None:
    with socket.socket() as full, socket.socket() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting.connect(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        upstream = Upstream("warehouse", url, connect_timeout=0.1, total_timeout=20, retries=0)
        with pytest.raises(UnavailableError, match=r"^warehouse cannot be reached$"):
            upstream.get("/echo/1")


def test_a_request_whose_time_is_up_gets_a_deadline_error(
    faulty: Faulty, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    def call() -> None:
        upstream.get("/echo/0")  # on a kept connection, a request could be sent at once
        deadline.set(time.monotonic() - 1)
        with pytest.raises(DeadlineError):
            upstream.get("/echo/1")
        deadline.set(time.monotonic() + 0.15)
        with pytest.raises(DeadlineError):
            upstream.get("/hang")

    gevent.spawn(call).get()
    assert faulty.count("/echo/1") == 0
    assert caplog.text == ""  # the upstream is not to blame
    assert ask(upstream, 1) == "1"


def test_the_limit_of_a_caller_higher_up_goes_through(upstream: Upstream) -> None:
    def call() -> None:
        with pytest.raises(DeadlineError), request_deadline(0.1):
            upstream.get("/half")

    with pytest.raises(gevent.Timeout) as raised, gevent.Timeout(0.1) as mine:
        upstream.get("/hang")
    assert raised.value is mine
    gevent.spawn(call).get()
    assert ask(upstream, 1) == "1"


def test_a_large_body_may_take_longer_to_send_than_to_connect(faulty: Faulty) -> None:
    """The server reads nothing until the time to connect is over."""
    upstream = Upstream("warehouse", faulty.url, connect_timeout=1, total_timeout=20)
    faulty.pause = 1.5
    assert upstream.post("/status/200", content=bytes(32 << 20)).status == 200
    assert len(faulty.requests[0].body) == 32 << 20


def test_a_server_that_does_not_read_does_not_hold_a_call_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # it accepts nothing, the kernel does
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        upstream = Upstream("warehouse", url, total_timeout=0.5)
        with pytest.raises(UnavailableError, match=r"^warehouse did not answer within 0.5 s$"):
            upstream.post("/", content=bytes(64 << 20))


def test_a_100_continue_before_the_response_is_skipped(upstream: Upstream) -> None:
    for number in range(3):
        assert upstream.post("/continue_first", str(number)).decode() == {"id": str(number)}


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_refusal_before_the_body_is_sent_is_read(method: str) -> None:
    def refuse(sock: socket.socket, _: object) -> None:
        with sock:
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass

    server = StreamServer(("127.0.0.1", 0), refuse)
    server.start()
    upstream = Upstream("warehouse", f"http://127.0.0.1:{server.server_port}", total_timeout=20)
    assert upstream.request(method, "/", content=bytes(32 << 20)).status == 413
    server.stop()
