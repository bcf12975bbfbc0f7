"""Uploads to a route that takes large bodies: on disk, not in memory, and gone afterwards."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import gevent
import pytest
from werkzeug.test import Client, create_environ

from server import Server
from tests.support.messages import exchange, in_chunks, with_length
from tests.support.service import Service, wait_until
from utils.web import Request, Response

MULTIPART = "Content-Type: multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
END = b"\r\n--b--\r\n"


def peak(pid: int) -> int:
    """Return the most memory that the process ever had, in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


@pytest.mark.parametrize("send", [with_length, in_chunks])
def test_a_large_upload_does_not_stand_in_memory(
    reading: Service, send: Callable[..., bytes]
) -> None:
    (worker,) = reading.workers()
    file = bytes(range(256)) * 200_000
    body = PART + file + END
    exchange(reading, send("/upload", PART + b"x" + END, MULTIPART))
    before = peak(worker)
    status, _, envelope = exchange(reading, send("/upload", body, MULTIPART))
    assert status == 200
    assert envelope["data"] == [sha256(file).hexdigest(), sha256(body).hexdigest()]
    grown = peak(worker) - before
    print(f"{len(body)} bytes: {before} kB before, {grown} kB more")
    assert grown < 8_000


@pytest.mark.parametrize("streamed", [False, True])
def test_files_are_closed_when_nobody_can_read_them_any_more(
    client: Client, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    files: list[Any] = []

    def api_test(self: Server, request: Request) -> Response:
        files.extend([request.files["file"].stream, request.content.file])
        return Response(iter([b"one", files[0].read(2)]) if streamed else b"whole")

    monkeypatch.setattr(Server, "api_test", api_test)
    body = PART + b"two" + END
    response = client.post("/test", data=body, content_type=MULTIPART.partition(": ")[2])
    assert [file.closed for file in files] == [not streamed] * 2
    assert response.data == (b"onetw" if streamed else b"whole")
    response.close()
    assert [file.closed for file in files] == [True, True]


def test_an_upload_leaves_no_file_open_in_the_worker(reading: Service) -> None:
    (worker,) = reading.workers()
    body = PART + b"x" * 2_000_000 + END
    before = len(list(Path(f"/proc/{worker}/fd").iterdir()))
    for _ in range(5):
        assert exchange(reading, with_length("/upload", body, MULTIPART))[0] == 200
    wait_until(lambda: len(list(Path(f"/proc/{worker}/fd").iterdir())) <= before)


def test_other_requests_have_their_turns_during_an_upload() -> None:
    turns: list[int] = []

    def take_turns() -> None:
        while True:
            turns.append(len(turns))
            gevent.sleep(0)

    other = gevent.spawn(take_turns)
    body = PART + b"x" * 2_000_000 + END
    environ = create_environ(method="POST", data=body, content_type=MULTIPART.partition(": ")[2])
    request = Request(environ)
    request.max_content_length = 3_000_000
    with request:
        assert request.files["file"].stream.read() == b"x" * 2_000_000
    other.kill()
    assert len(turns) >= 30  # 64 KiB each
