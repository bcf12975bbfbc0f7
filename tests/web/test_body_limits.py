"""The limit of a body, and its end, hold for whoever reads it, over the wire."""

from collections.abc import Callable
from io import BytesIO

import pytest
from gevent import Timeout
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.test import EnvironBuilder

from tests.support.messages import exchange, in_chunks, post, with_length
from tests.support.readers import BYTES, READERS
from tests.support.service import Service
from utils.errors import MalformedError
from utils.web import Request

LIMIT = 10_000  # of the fixture `reading`
FORM = "Content-Type: application/x-www-form-urlencoded"
MULTIPART = "Content-Type: multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
TYPES = {"form": FORM, "values": FORM, "files": MULTIPART}


def body_for(reader: str, size: int) -> tuple[bytes, str]:
    """Return a body of so many bytes that this reader can read, and its type."""
    if reader == "files":
        return PART + b"x" * (size - len(PART) - 9) + b"\r\n--b--\r\n", MULTIPART
    if reader == "get_json":
        return b"[" + b" " * (size - 2) + b"]", "Content-Type: application/json"
    return b"a=" + b"\n" * (size - 2), TYPES.get(reader, "Content-Type: text/plain")


@pytest.mark.parametrize("send", [with_length, in_chunks])
@pytest.mark.parametrize("reader", READERS)
def test_the_limit_binds_every_reader(
    reading: Service, reader: str, send: Callable[..., bytes]
) -> None:
    for path, size, status in [
        ("read", LIMIT, 200),
        ("read", LIMIT + 1, 413),
        ("read", 3_000_000, 413),
        ("large", 3_000_000, 200),
        ("small", 1_000, 413),
    ]:
        body, content_type = body_for(reader, size)
        assert len(body) == size
        got, headers, envelope = exchange(reading, send(f"/{path}/{reader}", body, content_type))
        assert (got, envelope["err_code"]) == (status, 0 if status == 200 else status), (path, size)
        assert headers["X-Request-ID"] == envelope["uuid"]


def test_a_body_that_is_announced_as_too_large_is_not_waited_for(reading: Service) -> None:
    for reader in READERS:
        data = post(f"/read/{reader}", f"Content-Length: {LIMIT + 1}", TYPES.get(reader, FORM))
        assert exchange(reading, data)[0] == 413


@pytest.mark.parametrize("reader", READERS)
def test_a_body_that_ends_early_is_a_400_whoever_reads_it(reading: Service, reader: str) -> None:
    body, content_type = body_for(reader, 1_000)
    length = f"Content-Length: {len(body) + 5}"
    for data in (
        post(f"/read/{reader}", length, content_type, body=body),
        post(f"/read/{reader}", length, content_type),
        in_chunks(f"/read/{reader}", body, content_type)[:-5],
        in_chunks(f"/read/{reader}", body, content_type)[:-50],
        post(f"/read/{reader}", "Transfer-Encoding: chunked", content_type, body=b"xyz\r\n\r\n"),
    ):
        status, _, envelope = exchange(reading, data, half_close=True)
        assert (status, envelope["err_code"]) == (400, -2), data[-60:]


@pytest.mark.parametrize("first", BYTES)
@pytest.mark.parametrize(("length", "limit"), [(20, 100), (19, 5), (None, 5)])
def test_a_fault_that_was_caught_is_raised_again(first: str, length: int, limit: int) -> None:
    for second in BYTES:
        environ = EnvironBuilder(method="POST", input_stream=BytesIO(b"only 12 byte")).get_environ()
        environ["wsgi.input_terminated"] = True
        if length is not None:
            environ["CONTENT_LENGTH"] = str(length)
        request = Request(environ)
        request.max_content_length = limit
        for reader in (first, second):
            with pytest.raises((MalformedError, RequestEntityTooLarge)):
                BYTES[reader](request)


@pytest.mark.parametrize("first", BYTES)
def test_the_part_that_came_before_a_deadline_is_never_taken_for_all(first: str) -> None:
    class Slow(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() == 4:
                raise Timeout
            return super().read(4)

    for second in BYTES:
        environ = EnvironBuilder(method="POST", input_stream=Slow(b"only 12 byte")).get_environ()
        environ["wsgi.input_terminated"] = True
        request = Request(environ)
        with pytest.raises(Timeout):
            BYTES[first](request)
        environ["wsgi.input"].seek(5)
        with pytest.raises(MalformedError):
            BYTES[second](request)


def test_a_form_has_limits_of_its_own(reading: Service) -> None:
    field = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
    large = field + b"x" * 600_000 + b"\r\n--b--\r\n"
    many = (field + b"x\r\n") * 1_100 + b"--b--\r\n"
    for body in (large, many):
        data = with_length("/large/form", body, MULTIPART)
        status, _, envelope = exchange(reading, data)
        assert status == 413
        line = next(line for line in reading.log().splitlines() if envelope["uuid"] in line)
        assert "more than 1000 parts, 20000 escapes, or 500000 bytes that are no file" in line


@pytest.mark.parametrize("reader", READERS)
def test_a_body_that_does_not_arrive_ends_at_the_deadline(reading: Service, reader: str) -> None:
    body, content_type = body_for(reader, 1_000)
    sent = (f"Content-Length: {len(body)}", content_type, "X-Request-Timeout-Ms: 100")
    data = post(f"/read/{reader}", *sent, body=body[:-1])
    status, _, envelope = exchange(reading, data)
    assert (status, envelope["err_code"]) == (504, -6)
