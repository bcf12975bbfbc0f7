"""POSTs as bytes, each the last one of its connection, and what comes back."""

from typing import Any

from tests.support.service import Service
from tests.support.wire import chunked, reply


def post(path: str, *headers: str, host: str | None = "x", body: bytes = b"") -> bytes:
    """Return a POST; the headers have to say how long the body is."""
    lines = [f"POST {path} HTTP/1.1", "Connection: close", *headers]
    if host is not None:
        lines.insert(1, f"Host: {host}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def with_length(path: str, body: bytes, *headers: str) -> bytes:
    """Return a POST whose body has a Content-Length."""
    return post(path, f"Content-Length: {len(body)}", *headers, body=body)


def in_chunks(path: str, body: bytes, *headers: str) -> bytes:
    """Return a POST whose body is chunked."""
    return post(path, "Transfer-Encoding: chunked", *headers, body=chunked(body, 4096))


def exchange(
    service: Service, data: bytes, half_close: bool = False
) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Send a request; return the status, the headers and the envelope."""
    answer = reply(service, data, half_close)
    return answer.status, answer.headers, answer.envelope
