"""The body of a request: within its limit, received once, and kept for every reader."""

import io
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE
from collections.abc import Callable, Iterator
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import gevent
import msgspec
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.utils import cached_property  # functools' takes a lock in 3.11

from utils.codec import JSON_ERRORS, check_utf8
from utils.errors import MalformedError
from utils.web.work import WorkLimit

IN_MEMORY = 1 << 18  # bytes; a larger body that is read as a file is kept in a temporary one
PIECE = 1 << 16
UNTYPED = WorkLimit(msgspec.inspect.AnyType())
# That of UTF-32-LE begins with that of UTF-16-LE.
BYTE_ORDER_MARKS = (BOM_UTF8, BOM_UTF16_LE, BOM_UTF16_BE, BOM_UTF32_BE)


def receive(source: IO[bytes], length: int | None, limit: int) -> Iterator[bytes]:
    """Yield the body of `wsgi.input`, which `length` announces unless it is chunked.

    Raises RequestEntityTooLarge above `limit` bytes, and MalformedError if the transfer is broken
    or ends early (gunicorn hands over a short body as if it were whole: gunicorn#3234).
    """
    if length is not None and length > limit:
        raise RequestEntityTooLarge(f"Content-Length {length}, allowed: {limit}")
    left = limit + 1 if length is None else length
    while left:
        try:
            piece = source.read(min(PIECE, left))
        except OSError as error:
            broken = "the body is cut short or wrongly chunked"
            raise MalformedError(broken, detail=str(error)) from error
        if not piece:
            break
        yield piece
        left -= len(piece)
    if length is None and not left:
        raise RequestEntityTooLarge(f"chunked, allowed: {limit} bytes")
    if length is not None and left:
        raise MalformedError(f"the body is cut short: {length - left} of {length} bytes")


class Body:
    """All bytes of one body, received when the first reader asks for them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces
        self.file: IO[bytes] | None = None
        self.fault: Exception | None = None

    def read(self) -> bytes:
        file = self.received(io.BytesIO)
        file.seek(0)
        return file.read()

    def reader(self) -> io.BufferedReader:
        """Return a file of its bytes that begins at the first one."""
        return io.BufferedReader(BodyReader(self.received(lambda: SpooledTemporaryFile(IN_MEMORY))))

    @cached_property
    def stream(self) -> io.BufferedReader:
        """Return the reader behind `request.stream`, always the same one."""
        return self.reader()

    def received(self, make_file: Callable[[], IO[bytes]]) -> IO[bytes]:
        """Return the file that has all of it."""
        # After a fault, or a deadline on the way, every later reader gets an error too: it must
        # not take what came so far for a whole body.
        if self.file is None:
            self.file = make_file()
            self.fault = MalformedError("the body was not received in time")
            try:
                for piece in self.pieces:
                    self.file.write(piece)
                self.fault = None
            except Exception as error:
                self.fault = error
        if self.fault:
            raise self.fault
        return self.file

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    def __del__(self) -> None:
        self.close()  # or else a SpooledTemporaryFile warns


class BodyReader(io.RawIOBase):
    """A position in the file of a body."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.position = file, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        gevent.sleep(0)  # parsing 1 MB without a pause would stop all other requests
        self.file.seek(self.position)
        piece = self.file.read(len(buffer))
        buffer[: len(piece)] = piece
        self.position += len(piece)
        return len(piece)


def not_json(body: object, error: Exception) -> MalformedError:
    """Return why a body is not JSON, from what decoding it raised."""
    if isinstance(error, RecursionError):
        return MalformedError("the body is nested too deeply")
    if isinstance(body, bytes) and body.startswith(BYTE_ORDER_MARKS):
        return MalformedError("the body is not JSON: it begins with a byte order mark (BOM)")
    return MalformedError(f"the body is not JSON: {error}")


def decode_json(body: bytes, max_values: int) -> Any:
    """Return the JSON value of a body; raise a 413 if that is too much work."""
    UNTYPED.check(body, max_values)
    try:
        return msgspec.json.decode(check_utf8(body))
    except JSON_ERRORS as error:
        raise not_json(body, error) from None
