"""Every way in which a route may read a request's body.

A copy of the service can be given this file, so it imports nothing of the tests.
"""

from collections.abc import Callable
from typing import Any

from utils.web import Request

Reader = Callable[[Request], Any]


def in_pieces(request: Request) -> bytes:
    return b"".join(iter(lambda: request.stream.read(7), b""))


def by_readline(request: Request) -> bytes:
    return b"".join(iter(request.stream.readline, b""))


def by_readinto(request: Request) -> bytes:
    buffer, whole = bytearray(100), b""
    while size := request.stream.readinto(buffer):  # type: ignore[attr-defined]
        whole += buffer[:size]
    return whole


def in_part(request: Request) -> bytes:
    """Read the first bytes only, and leave the rest to the other readers."""
    return request.content.reader().read(5) and request.content.read()


BYTES: dict[str, Reader] = {
    "get_data": lambda request: request.get_data(),
    "get_data_uncached": lambda request: request.get_data(cache=False),
    "get_data_of_a_form": lambda request: request.get_data(parse_form_data=True),
    "get_data_as_text": lambda request: request.get_data(as_text=True).encode(),
    "data": lambda request: request.data,
    "stream": lambda request: request.stream.read(),
    "input_stream": lambda request: request.input_stream.read(),
    "pieces": in_pieces,
    "lines": lambda request: b"".join(request.stream),
    "readline": by_readline,
    "readlines": lambda request: b"".join(request.stream.readlines()),
    "readinto": by_readinto,
    "part": in_part,
    "body": lambda request: request.body(),
}
# What they return depends on the form of the body.
PARSED: dict[str, Reader] = {
    "get_json": lambda request: request.get_json(force=True),
    "form": lambda request: request.form.to_dict(),
    "values": lambda request: request.values.to_dict(),
    "files": lambda request: {name: file.read() for name, file in request.files.items()},
}
OTHERS: dict[str, Reader] = {
    "get_json_of_its_type": lambda request: request.get_json(),
    "argument": lambda request: request.args["a"],
}
READERS = BYTES | PARSED
