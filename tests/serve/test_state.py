"""RUN_DIR/state: what is written is what is read, and what it says can be tried."""

import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingMixIn, UnixStreamServer
from threading import Thread

import pytest

from utils.serve.state import State, answers, as_text, client_address, read, welcome

STATE = {
    "name": "shop",
    "pid": "4711",
    "started": "1700000000",
    "reloads": "2",
    "address": "http://127.0.0.1:10001",
    "workers": "4712 4713",
}


@pytest.mark.parametrize("state", [STATE, {**STATE, "address": "unix:/a b/s=1", "workers": ""}])
def test_what_is_written_is_read(tmp_path: Path, state: State) -> None:
    (tmp_path / "state").write_text(as_text(**state))
    assert read(tmp_path) == state


@pytest.mark.parametrize("name", STATE)
def test_a_file_that_no_master_of_ours_writes_is_not_read(tmp_path: Path, name: str) -> None:
    values = ["", "-1", "1e9", "\u0661", "1" * 99, "$(id)", "1\n2", "1\x1b[2J", "1\u2028", "1\x85"]
    if name in ("name", "address", "workers"):
        values = values[6:]
    for value in values:
        (tmp_path / "state").write_text(as_text(**{**STATE, name: value}))
        assert read(tmp_path) == {}


def test_nothing_is_read_where_nothing_serves(tmp_path: Path) -> None:
    assert read(tmp_path) == {}


@pytest.mark.parametrize(
    ("listener", "address"),
    [
        ("http://0.0.0.0:80", "http://127.0.0.1:80"),
        ("http://[::]:80", "http://[::1]:80"),
        ("http://10.0.0.0:80", "http://10.0.0.0:80"),
        ("http://[2001::]:80", "http://[2001::]:80"),
        ("unix:/run/[::]/0.0.0.0", "unix:/run/[::]/0.0.0.0"),
    ],
)
def test_the_address_is_one_that_a_client_can_use(listener: str, address: str) -> None:
    assert client_address(listener) == address


class UnixServer(ThreadingMixIn, UnixStreamServer):
    """An HTTP server on a Unix socket."""

    server_name, server_port = "test", 0


class Handler(BaseHTTPRequestHandler):
    """Answers 200 to what a start and a user ask."""

    protocol_version = "HTTP/1.1"

    def do_OPTIONS(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_OPTIONS  # noqa: N815

    def address_string(self) -> str:
        return "a client"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a server of this kind."""
    server: HTTPServer | UnixServer
    if request.param == "unix":
        path = tmp_path / "it's a socket"
        server, address = UnixServer(str(path), Handler), f"unix:{path}"
    else:
        server = HTTPServer(("127.0.0.1", 0), Handler)
        address = f"http://127.0.0.1:{server.server_port}"
    with server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield address
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("address", ["unix", "tcp"], indirect=True)
def test_a_service_on_either_kind_of_address_is_tried(address: str) -> None:
    assert answers(address)
    said, curl = welcome({**STATE, "address": address}).split("; try\n")
    assert said == f"shop is up at {address} (pid 4711)"
    subprocess.run(f"{curl} --silent --fail", shell=True, check=True)


@pytest.mark.parametrize("address", ["unix:/nowhere", "http://127.0.0.1:1"])
def test_an_address_where_nobody_listens_does_not_answer(address: str) -> None:
    assert not answers(address)


def test_something_else_than_http_does_not_answer(tmp_path: Path) -> None:
    class Garbage(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1000)
            self.request.sendall(b"220 mail\r\n")

    with UnixServer(str(tmp_path / "s"), Garbage) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        assert not answers(f"unix:{tmp_path / 's'}")
        thread.join()
