"""Calls to other services: bounded, never doubled, never mixed, and silent about secrets."""

import base64
import gc
import gzip
import itertools
import json
import os
import random
import socket
import ssl
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import gevent
import msgspec
import pytest
from gevent.event import Event
from gevent.server import StreamServer

from tests.support.proxy import RESET
from tests.support.service import certify
from utils.context import deadline, request_deadline, request_uuid, traceparent
from utils.dev.servers import free_port
from utils.errors import DeadlineError, UnavailableError
from utils.http.upstream import MAX_REDIRECTS, Answer, Upstream

TOTAL = 0.4
SLACK = 0.2
BOMB = gzip.compress(bytes(100 << 20), 1)


FLOOD = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    client, _ = server.accept()
    try:
        client.sendall(b"HTTP/1.1 503 Busy\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
        while True:
            client.sendall(b"10000\\r\\n" + bytes(0x10000) + b"\\r\\n")
    except OSError:
        client.close()
"""


class Received(NamedTuple):
    """A request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.split("?")[0]


class Faulty:
    """A server that answers, or fails to, as the path of a request says."""

    def __init__(self, **options: Any) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.open: set[socket.socket] = set()
        self.never = Event()
        self.arrived = Event()
        self.server = StreamServer(("127.0.0.1", 0), self.serve, **options)
        self.server.start()
        self.port = self.server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, path: str) -> int:
        return sum(request.path == path for request in self.requests)

    def serve(self, sock: socket.socket, _: object) -> None:
        self.connections += 1
        self.open.add(sock)
        with suppress(OSError), sock, sock.makefile("rb") as file:
            while request := self.receive(file):
                self.requests.append(request)
                self.arrived.set()
                getattr(self, request.path.split("/")[1])(sock, request)
        self.open.discard(sock)

    def receive(self, file: Any) -> Received | None:
        line = file.readline().decode().split()
        if not line:
            return None
        headers = {}
        while field := file.readline().decode().strip():
            name, _, value = field.partition(": ")
            headers[name.lower()] = value
        return Received(line[0], line[1], headers, file.read(int(headers.get("content-length", 0))))

    def answer(self, sock: Any, body: bytes, status: str = "200 OK", *fields: str) -> None:
        head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields])
        sock.sendall(f"{head}\r\n\r\n".encode() + body)

    def close_connections(self) -> None:
        for sock in self.open:
            sock.shutdown(socket.SHUT_RDWR)

    def echo(self, sock: Any, request: Received) -> None:
        self.answer(sock, json.dumps({"id": request.path.split("/")[-1]}).encode())

    def slow(self, sock: Any, request: Received) -> None:
        gevent.sleep(random.uniform(0, 0.1))
        self.echo(sock, request)

    def torn(self, sock: Any, request: Received) -> None:
        body = json.dumps({"id": request.path.split("/")[-1]}).encode()
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:5])
        gevent.sleep(random.uniform(0, 0.1))
        sock.sendall(body[5:])

    def hang(self, sock: Any, request: Received) -> None:
        self.never.wait()

    def half(self, sock: Any, request: Received) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        self.never.wait()

    def dribble(self, sock: Any, request: Received) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not self.never.wait(0.01):
            sock.sendall(b"1\r\n \r\n")

    def drawl(self, sock: Any, request: Received) -> None:
        sock.sendall(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not self.never.wait(0.01):
            sock.sendall(b"1\r\n \r\n")

    def reset(self, sock: Any, request: Received) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        raise ConnectionResetError

    def cut(self, sock: Any, request: Received) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        sock.shutdown(socket.SHUT_RDWR)

    def big(self, sock: Any, request: Received) -> None:
        self.answer(sock, bytes(10 << 20))

    def endless(self, sock: Any, request: Received) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(bytes(1 << 16))

    def bomb(self, sock: Any, request: Received) -> None:
        self.answer(sock, BOMB, "200 OK", "Content-Encoding: gzip")

    def zipped(self, sock: Any, request: Received) -> None:
        self.answer(sock, gzip.compress(b'{"id":"z"}'), "200 OK", "Content-Encoding: gzip")

    def unzippable(self, sock: Any, request: Received) -> None:
        self.answer(sock, b"not gzip", "200 OK", "Content-Encoding: gzip")

    def around(self, sock: Any, request: Received) -> None:
        self.answer(sock, b"", "302 Found", f"Location: {request.target}")

    def onward(self, sock: Any, request: Received) -> None:
        self.answer(sock, b"-" * 99, "302 Found", "Location: /echo/there", "Set-Cookie: a=b")

    def elsewhere(self, sock: Any, request: Received) -> None:
        self.answer(sock, b"", "307 Go", f"Location: http://localhost:{self.port}/echo/x")

    def nowhere(self, sock: Any, request: Received) -> None:
        self.answer(sock, b"", "302 Found", "Location: http://[evil")

    def busy(self, sock: Any, request: Received) -> None:
        self.answer(sock, b"busy", "503 Busy", "Retry-After: 3600")

    def shaky(self, sock: Any, request: Received) -> None:
        (self.busy if self.count(request.path) <= 2 else self.echo)(sock, request)

    def status(self, sock: Any, request: Received) -> None:
        self.answer(sock, b'"why"', f"{request.path.split('/')[-1]} So")

    def early(self, sock: Any, request: Received) -> None:
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        self.echo(sock, request)

    def more(self, sock: Any, request: Received) -> None:
        self.answer(sock, b'{"id":"more"}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}')

    def cookie(self, sock: Any, request: Received) -> None:
        self.answer(sock, b"{}", "200 OK", "Set-Cookie: a=b; Path=/")

    def scramble(self, sock: Any, request: Received) -> None:
        os.write(sock.fileno(), b"this is not TLS")

    def garbage(self, sock: Any, request: Received) -> None:
        sock.sendall(b"garbage\r\n\r\n")
        sock.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    server = Faulty()
    yield server
    server.never.set()
    server.server.stop()


@pytest.fixture
def upstream(faulty: Faulty) -> Iterator[Upstream]:
    upstream = Upstream("warehouse", faulty.url, total_timeout=TOTAL)
    yield upstream
    upstream.session().close()


@contextmanager
def taking(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert abs(time.monotonic() - started - seconds) < SLACK


def ask(upstream: Upstream, name: object) -> Any:
    return upstream.get(f"/echo/{name}").decode()["id"]


def test_a_call_sends_json_and_reads_json(faulty: Faulty, upstream: Upstream) -> None:
    class Echo(msgspec.Struct):
        id: str

    answer = upstream.post("/echo/7", json={"count": 2}, params={"q": "a&b"}, headers={"A": "1"})
    assert isinstance(answer, Answer)
    assert (answer.status, answer.headers["content-length"]) == (200, "11")
    assert answer.decode(Echo) == Echo("7")
    assert answer.decode() == {"id": "7"}
    (request,) = faulty.requests
    assert (request.method, request.target) == ("POST", "/echo/7?q=a%26b")
    assert (request.body, request.headers["content-type"]) == (b'{"count":2}', "application/json")
    assert request.headers["a"] == "1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_every_method_is_sent_as_it_is(faulty: Faulty, upstream: Upstream, method: str) -> None:
    short = getattr(upstream, method.lower(), None)
    answer = short("/echo/7") if short else upstream.request(method, "/echo/7")
    assert answer.status == 200
    assert [request.method for request in faulty.requests] == [method]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("path", "seconds", "message"),
    [
        ("/hang", TOTAL, "warehouse did not answer within 0.4 s"),
        ("/half", TOTAL, "warehouse did not answer within 0.4 s"),
        ("/dribble", TOTAL, "warehouse did not answer within 0.4 s"),
        ("/around", 0, "warehouse redirects too often"),
        ("/reset", 0.15, "warehouse broke off"),
        ("/cut", 0, "warehouse broke off"),
        ("/garbage", 0.15, "warehouse broke off"),
        ("/big", 0, "warehouse answered more than 4194304 bytes"),
        ("/endless", 0, "warehouse answered more than 4194304 bytes"),
        ("/bomb", 0, "warehouse answered more than 4194304 bytes"),
        ("/unzippable", 0, "warehouse broke off"),
        ("/nowhere", 0, "warehouse broke off"),
        ("/early", 0, "warehouse answered 103"),
        ("/status/500", 0, "warehouse answered 500"),
        ("/status/429", 0, "warehouse answered 429"),
        ("/busy", 0.15, "warehouse answered 503"),
    ],
)
def test_a_fault_ends_in_time_is_sent_once_if_it_must_and_spoils_no_later_call(
    faulty: Faulty, upstream: Upstream, path: str, seconds: float, message: str, method: str
) -> None:
    if method == "POST" and path in ("/around", "/nowhere"):
        assert upstream.post(path).status == 302
    else:
        with taking(seconds), pytest.raises(UnavailableError) as raised:
            upstream.request(method, path)
        assert str(raised.value) == message
    if method == "POST":
        assert faulty.count(path) == 1
    assert [ask(upstream, n) for n in range(3)] == ["0", "1", "2"]


def test_the_body_of_a_refusal_is_not_waited_for(upstream: Upstream) -> None:
    with taking(0.15), pytest.raises(UnavailableError, match="answered 503"):
        upstream.get("/drawl")
    assert ask(upstream, 1) == "1"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_limit_holds_while_refusals_flood(method: str) -> None:
    """By a process of its own: here, the client would not be kept from its clock."""
    command = [sys.executable, "-c", FLOOD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            with taking(0.15), pytest.raises(UnavailableError, match="answered 503"):
                Upstream("warehouse", url, total_timeout=TOTAL).request(method, "/")
        finally:
            server.kill()


def test_the_limit_holds_over_retries(faulty: Faulty) -> None:
    upstream = Upstream("warehouse", faulty.url, total_timeout=TOTAL, retries=100)
    with taking(TOTAL), pytest.raises(UnavailableError, match=r"did not answer within 0.4 s"):
        upstream.get("/busy")


def test_a_read_limit_of_its_own_is_told(faulty: Faulty) -> None:
    upstream = Upstream("warehouse", faulty.url, read_timeout=0.1, retries=0)
    with taking(0.1), pytest.raises(UnavailableError, match=r"did not answer within 0.1 s"):
        upstream.get("/hang")


def test_an_upstream_that_refuses_connections_cannot_be_reached() -> None:
    upstream = Upstream("warehouse", f"http://127.0.0.1:{free_port()}", total_timeout=2)
    with pytest.raises(UnavailableError, match=r"^warehouse cannot be reached$"):
        upstream.post("/echo/1")


def test_an_upstream_that_drops_packets_cannot_be_reached() -> None:
    with socket.socket() as full, socket.socket() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting.connect(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        upstream = Upstream("warehouse", url, connect_timeout=0.1, retries=0)
        with taking(0.1), pytest.raises(UnavailableError, match="cannot be reached"):
            upstream.get("/echo/1")


def test_a_fallback_is_not_blamed_for_what_it_replaces(upstream: Upstream) -> None:
    away = Upstream("away", f"http://127.0.0.1:{free_port()}", retries=0)
    with pytest.raises(UnavailableError, match="warehouse broke off"):
        try:
            away.get("/echo/1")
        except UnavailableError:
            upstream.get("/cut")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_what_may_be_sent_twice_is_sent_until_it_succeeds(
    faulty: Faulty, upstream: Upstream, method: str
) -> None:
    assert upstream.request(method, "/shaky/7").decode() == {"id": "7"}
    assert faulty.count("/shaky/7") == 3


def test_retries_are_counted(faulty: Faulty, upstream: Upstream) -> None:
    for path in ("/busy", "/reset"):
        with pytest.raises(UnavailableError):
            upstream.get(path)
        assert faulty.count(path) == 3
    with pytest.raises(UnavailableError):
        Upstream("warehouse", faulty.url, retries=0).get("/busy")
    assert faulty.count("/busy") == 4


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("path", ["/busy", "/reset", "/hang", "/cut"])
def test_what_must_not_be_sent_twice_is_not(
    faulty: Faulty, upstream: Upstream, method: str, path: str
) -> None:
    with pytest.raises(UnavailableError):
        upstream.request(method, path, json=1)
    assert faulty.count(path) == 1


def test_a_post_over_tls_that_breaks_is_sent_once(tmp_path: Path) -> None:
    certificate, key = certify(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    faulty = Faulty(ssl_context=context)
    url = faulty.url.replace("http", "https")
    with pytest.raises(UnavailableError, match="broke off"):
        Upstream("warehouse", url).get("/echo/1")
    assert faulty.requests == []  # it does not trust the certificate
    upstream = Upstream("warehouse", url, ca_file=str(certificate))
    assert ask(upstream, 1) == "1"
    for path in ("/cut", "/reset", "/scramble"):
        with pytest.raises(UnavailableError, match="broke off"):
            upstream.post(path)
        assert faulty.count(path) == 1
    upstream.session().close()
    faulty.server.stop()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_was_closed_while_idle_fails_no_call(
    faulty: Faulty, upstream: Upstream, method: str
) -> None:
    for number in range(20):
        answer = upstream.request(method, f"/echo/{number}")
        assert answer.decode() == {"id": str(number)}
        faulty.close_connections()
    assert (faulty.connections, len(faulty.requests)) == (20, 20)


def test_a_connection_with_stray_bytes_on_it_is_not_used_again(
    faulty: Faulty, upstream: Upstream
) -> None:
    assert upstream.get("/echo/1").decode() == {"id": "1"}
    (sock,) = faulty.open
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + b'{"id":"0"}')
    assert ask(upstream, 2) == "2"
    assert faulty.connections == 2


def test_fifty_at_a_time_share_fifty_connections(faulty: Faulty, upstream: Upstream) -> None:
    upstream.total_timeout = 5
    for _ in range(4):
        calls = [gevent.spawn(upstream.get, f"/slow/{number}") for number in range(50)]
        answers = [call.get().decode()["id"] for call in calls]
        assert answers == [str(number) for number in range(50)]
    assert faulty.connections <= 50


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # urllib3: a connect that is cut
def test_calls_that_are_cut_mix_and_leak_nothing(faulty: Faulty, upstream: Upstream) -> None:
    upstream.total_timeout = 5
    numbers = itertools.count()
    finished = []

    def call() -> None:
        number = next(numbers)
        path = random.choice(("slow", "torn"))
        with gevent.Timeout(random.uniform(0.01, 1), False):
            finished.append((upstream.get(f"/{path}/{number}").decode()["id"], str(number)))

    for _ in range(3):
        calls = [gevent.spawn(call) for _ in range(200)]
        for victim in random.sample(calls, 50):
            gevent.spawn_later(random.uniform(0, 0.5), victim.kill)
        gevent.joinall(calls, raise_error=True)
        assert [ask(upstream, number) for number in range(5)] == list("01234")
    gc.collect()
    assert 0 < len(finished) < 600
    assert all(got == asked for got, asked in finished)


def test_the_request_and_its_time_go_on_to_the_upstream(faulty: Faulty, upstream: Upstream) -> None:
    def call() -> None:
        request_uuid.set("the-uuid")
        traceparent.set(f"00-{'a' * 32}-{'b' * 16}-01")
        with request_deadline(0.3):
            upstream.get("/echo/1", headers={"x-request-id": "another", "X-Extra": "1"})

    gevent.spawn(call).get()
    (request,) = faulty.requests
    assert request.headers["x-request-id"] == "the-uuid"
    assert 200 <= int(request.headers["x-request-timeout-ms"]) <= 300
    version, trace_id, parent, flags = request.headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", "a" * 32, "01")
    assert parent != "b" * 16
    assert request.headers["x-extra"] == "1"


def test_headers_of_an_upstream_go_with_each_call(faulty: Faulty) -> None:
    Upstream("warehouse", faulty.url, headers={"X-Key": "k"}).get("/echo/1")
    assert faulty.requests[0].headers["x-key"] == "k"


def test_a_request_whose_time_is_up_gets_a_deadline_error(upstream: Upstream) -> None:
    def call() -> None:
        deadline.set(time.monotonic() + 0.15)
        with taking(0.15), pytest.raises(DeadlineError):
            upstream.get("/hang")
        with taking(0), pytest.raises(DeadlineError):
            upstream.get("/echo/1")

    gevent.spawn(call).get()


def test_the_limit_of_a_caller_higher_up_goes_through(upstream: Upstream) -> None:
    def call() -> None:
        with pytest.raises(DeadlineError), request_deadline(0.1):
            upstream.get("/half")

    with pytest.raises(gevent.Timeout) as raised, gevent.Timeout(0.1) as mine:
        upstream.get("/hang")
    assert raised.value is mine
    gevent.spawn(call).get()
    assert ask(upstream, 1) == "1"


def test_a_killed_call_closes_its_connection(faulty: Faulty, upstream: Upstream) -> None:
    for path in ("/hang", "/half", "/dribble"):
        faulty.arrived.clear()
        call = gevent.spawn(upstream.get, path)
        assert faulty.arrived.wait(10)
        call.kill()
        assert ask(upstream, path[1:]) == path[1:]
    assert faulty.connections == 4


def test_cookies_are_neither_kept_nor_sent(faulty: Faulty, upstream: Upstream) -> None:
    upstream.get("/cookie")
    upstream.get("/onward")
    upstream.get("/echo/1")
    assert len(faulty.requests) == 4
    assert all("cookie" not in request.headers for request in faulty.requests)


def test_nothing_is_taken_from_the_environment(
    faulty: Faulty, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert ask(upstream, 1) == "1"
    assert "authorization" not in faulty.requests[0].headers


def test_a_redirect_is_followed_on_the_same_host(faulty: Faulty, upstream: Upstream) -> None:
    assert upstream.get("/onward").decode() == {"id": "there"}
    assert [request.method for request in faulty.requests] == ["GET", "GET"]


def test_a_redirect_of_a_post_is_an_answer(faulty: Faulty, upstream: Upstream) -> None:
    answer = upstream.post("/onward")
    assert (answer.status, answer.headers["Location"]) == (302, "/echo/there")
    assert len(faulty.requests) == 1


def test_a_redirect_to_another_host_is_an_answer(faulty: Faulty, upstream: Upstream) -> None:
    assert upstream.get("/elsewhere").status == 307
    assert len(faulty.requests) == 1


def test_redirects_are_followed_so_far_and_no_farther(faulty: Faulty, upstream: Upstream) -> None:
    with pytest.raises(UnavailableError, match="redirects too often"):
        upstream.get("/around")
    assert faulty.count("/around") == 1 + MAX_REDIRECTS


@pytest.mark.parametrize("status", [200, 204, 304, 400, 404, 409, 499])
def test_an_answer_below_500_is_for_the_business(upstream: Upstream, status: int) -> None:
    assert upstream.get(f"/status/{status}").status == status


def test_an_answer_is_unzipped(upstream: Upstream) -> None:
    assert upstream.get("/zipped").decode() == {"id": "z"}


def test_an_answer_of_just_max_bytes_is_read(faulty: Faulty) -> None:
    size = len(b'{"id": "1"}')
    assert ask(Upstream("warehouse", faulty.url, max_bytes=size), 1) == "1"
    with pytest.raises(UnavailableError, match=f"answered more than {size - 1} bytes"):
        ask(Upstream("warehouse", faulty.url, max_bytes=size - 1), 1)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'"\xff"', b"[" * 100_000, b'{"id":1}'])
def test_an_answer_that_is_something_else_makes_the_upstream_unavailable(body: bytes) -> None:
    with pytest.raises(UnavailableError, match=r"^warehouse answered what it should not$"):
        Answer("warehouse", 200, {}, body).decode(dict[str, str])


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/a b", "/a%20b"),
        ("/a?b=c#d", "/a%3Fb=c%23d"),
        ("/a/%2e%2e/b", "/a/%252e%252e/b"),
        ("/\\evil", "/%5Cevil"),
        ("/\r\nEvil: 1", "/%0D%0AEvil:%201"),
        ("/@evil", "/@evil"),
        ("/a//evil", "/a//evil"),
        ("/订", "/%E8%AE%A2"),
    ],
)
def test_a_path_is_quoted(faulty: Faulty, path: str, target: str) -> None:
    Upstream("warehouse", f"{faulty.url}/echo/").get(path)
    assert [request.target for request in faulty.requests] == [f"/echo{target}"]
    assert "evil" not in faulty.requests[0].headers


@pytest.mark.parametrize(
    "path",
    ["", "x", "//evil", "http://evil", "\\evil", "@evil", ":80", "/..", "/a/../b", "/./b", "\r\n"],
)
def test_a_path_that_leads_elsewhere_is_refused(
    faulty: Faulty, upstream: Upstream, path: str
) -> None:
    with pytest.raises(ValueError, match="expected a path"):
        upstream.get(path)
    assert faulty.connections == 0


@pytest.mark.parametrize(
    "url",
    ["", "warehouse", "ftp://h", "http://", "http://u:se/cret@h", "http://[h", "http://h?secret=1"],
)
def test_a_url_that_is_none_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^warehouse: expected a URL") as raised:
        Upstream("warehouse", url)
    assert "cret" not in "".join(traceback.format_exception_only(raised.value))
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize("fault", [{"headers": {"A": "b\r\nc: d"}}, {"json": object()}])
def test_a_call_that_cannot_be_sent_is_the_caller_s_fault(
    faulty: Faulty, upstream: Upstream, fault: dict[str, Any]
) -> None:
    with pytest.raises((ValueError, TypeError)):
        upstream.post("/echo/1", **fault)
    assert faulty.connections == 0


def test_the_user_and_password_of_a_url_go_into_a_header(faulty: Faulty) -> None:
    url = faulty.url.replace("//", "//m%C3%BC:p%40ss@")
    Upstream("warehouse", url).get("/echo/1")
    scheme, code = faulty.requests[0].headers["authorization"].split()
    assert (scheme, base64.b64decode(code).decode()) == ("Basic", "mü:p@ss")


@pytest.mark.parametrize("path", ["/hang", "/reset", "/busy", "/big", "/around", "/echo/1"])
def test_neither_errors_nor_logs_tell_a_url_or_what_is_in_it(
    faulty: Faulty, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    url = faulty.url.replace("//", "//me:password@")
    upstream = Upstream("warehouse", url, total_timeout=TOTAL)
    with pytest.raises(UnavailableError) as raised:
        upstream.get(path, params={"key": "secret"}).decode(int)
    told = caplog.text + "".join(traceback.format_exception(raised.value))
    for secret in ("password", "key=", "127.0.0.1", str(faulty.port), "http://"):
        assert secret not in told
    assert [record.levelname for record in caplog.records].count("WARNING") == 1


def test_a_call_is_logged_with_its_time(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    upstream.get("/echo/1")
    (line,) = caplog.messages
    assert line.startswith("warehouse: GET 200 ")
    assert line.endswith(" ms")


def test_a_failure_is_logged_with_its_causes(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnavailableError):
        upstream.post("/reset")
    (line,) = caplog.messages
    assert line == ("warehouse broke off: ConnectionError < ProtocolError < ConnectionResetError")


def test_a_forked_process_has_a_session_of_its_own(upstream: Upstream) -> None:
    mine = upstream.session()
    if (pid := os.fork()) == 0:
        shared = True
        try:
            shared = upstream.session() is mine
        finally:
            os._exit(shared)
    assert os.waitpid(pid, 0)[1] == 0
    assert upstream.session() is mine
