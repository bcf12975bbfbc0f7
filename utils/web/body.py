"""The body of a request: within its limit, read from the server once, and kept for every reader."""

import codecs
import io
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Protocol

import gevent
import msgspec
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from utils.codec import JSON_ERRORS, check_utf8
from utils.errors import MalformedError, ServiceError

IN_MEMORY = 1 << 18  # bytes; of a body that is read in pieces, the rest goes to a temporary file
PIECE = 1 << 16
BYTE_ORDER_MARKS = (
    codecs.BOM_UTF8,
    codecs.BOM_UTF16_LE,
    codecs.BOM_UTF16_BE,
    codecs.BOM_UTF32_LE,
    codecs.BOM_UTF32_BE,
)


class Input(Protocol):
    """The server's stream, `wsgi.input`: b"" is its end, an OSError a fault in the transfer."""

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, or fewer at the end."""


class Body:
    """The bytes of one body, which `length` announces unless it is chunked.

    Raises RequestEntityTooLarge above `limit` bytes, and MalformedError if the transfer is broken
    or ends early (gunicorn hands over a short body as if it were whole: gunicorn#3234). Every
    later reader gets the same error: it must not take what came so far for a whole body.
    """

    def __init__(self, source: Input, length: int | None, limit: int) -> None:
        self.source, self.length, self.limit = source, length, limit
        self.received = 0
        self.fault: Exception | None = None
        self.whole: bytes | None = None
        self.file: IO[bytes] | None = None

    def read(self) -> bytes:
        """Return all of it."""
        if self.whole is None:
            if self.file is None:
                pieces = []
                while piece := self.receive(self.limit + 1):
                    pieces.append(piece)
                self.whole = b"".join(pieces)
            else:
                while self.read_at(self.received, PIECE):
                    pass
                self.file.seek(0)
                self.whole = self.file.read()
        return self.whole

    def read_at(self, position: int, size: int) -> bytes:
        """Return up to `size` bytes from a position on; b"" at the end."""
        if self.fault is not None:
            raise self.fault
        if self.whole is not None:
            return self.whole[position : position + size]
        if self.file is None:
            self.file = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        if position == self.received:
            piece = self.receive(size)
            self.file.seek(0, io.SEEK_END)
            self.file.write(piece)
            gevent.sleep(0)  # what comes as fast as it is read would stop all other requests
            return piece
        self.file.seek(position)
        return self.file.read(size)

    def receive(self, size: int) -> bytes:
        """Return up to `size` bytes more from the server; b"" at the end."""
        if self.fault is None:
            try:
                return self.receive_checked(size)
            except (ServiceError, HTTPException) as error:
                self.fault = error
                self.close()
        raise self.fault

    def receive_checked(self, size: int) -> bytes:
        length, limit = self.length, self.limit
        if length is not None and length > limit:
            raise RequestEntityTooLarge(f"Content-Length {length}, allowed: {limit}")
        left = (limit + 1 if length is None else length) - self.received
        if not left:
            return b""
        try:
            piece = self.source.read(min(size, left))
        except OSError as error:
            broken = "the body is cut short or wrongly chunked"
            raise MalformedError(broken, detail=str(error)) from error
        self.received += len(piece)
        if self.received > limit:
            raise RequestEntityTooLarge(f"chunked, allowed: {limit} bytes")
        if not piece and length is not None:
            raise MalformedError(f"the body is cut short: {self.received} of {length} bytes")
        return piece

    def reader(self) -> io.BufferedReader:
        """Return a file of its bytes that begins at the first one."""
        return io.BufferedReader(BodyReader(self))

    def close(self) -> None:
        """Remove the temporary file."""
        if self.file is not None:
            self.file.close()

    def __del__(self) -> None:
        self.close()  # or else it warns of an unclosed file


class BodyReader(io.RawIOBase):
    """A position in a body."""

    def __init__(self, body: Body) -> None:
        self.body, self.position = body, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        piece = self.body.read_at(self.position, len(buffer))
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


def decode_json(body: bytes) -> Any:
    """Return the JSON value of a body."""
    try:
        return msgspec.json.decode(check_utf8(body))
    except JSON_ERRORS as error:
        raise not_json(body, error) from None
