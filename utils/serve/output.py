"""The way out of a connection."""

from typing import Any

SEND_TIMEOUT = 60.0  # seconds


class Output:
    """A socket to write to: a client that takes nothing for so many seconds is given up.

    One that is slow is not. gevent's `sendall` has one limit for all of the data, and asks the
    kernel for the size of its buffer at every call.
    """

    def __init__(self, sock: Any, seconds: float = SEND_TIMEOUT) -> None:
        self.sock, self.seconds = sock, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        self.sock.settimeout(self.seconds)  # of each `send`; reads have their own limits
        try:
            while rest:
                rest = rest[self.sock.send(rest) :]
        finally:
            self.sock.settimeout(None)
