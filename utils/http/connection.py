"""Connections to another service: to which address, for how long, and fair to other greenlets.

Of urllib3 `_new_conn` and `_dns_host` have no public way; its SOCKS connection overrides them too.
"""

import io
import random
import select
import socket
import time
from contextlib import suppress
from http.client import HTTPResponse
from typing import Any

import gevent
from gevent.monkey import get_original
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from utils.context import fail_after
from utils.http.addresses import Address, Addresses
from utils.http.tls import TLS


class FairReader(io.RawIOBase):
    """The bytes of a socket. Other greenlets, and timeouts, get their turn before each read.

    gevent switches only where it has to wait. A peer that sends faster than we read could keep
    http.client in a loop for ever: it skips `100 Continue` and extensions of chunks without end.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        self.raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        gevent.sleep(0)
        return self.raw.readinto(buffer)

    def close(self) -> None:
        self.raw.close()
        super().close()


class FairResponse(HTTPResponse):
    """A response that is read by a FairReader."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fp = io.BufferedReader(FairReader(self.fp.detach()))


class Connection(HTTPConnection):
    """A connection that is used for at most `max_age` seconds, and tries each address of a name."""

    response_class = FairResponse

    def __init__(self, *args: Any, addresses: Addresses, max_age: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self.addresses, self.max_age = addresses, max_age

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that accepts. Each but the last has half the time left.

        Not an equal share: of eight addresses, none could be reached that is far away.
        """
        ends_at = time.monotonic() + (self.timeout or 0)
        try:
            *others, last = self.addresses.of(self._dns_host.strip("[]"), self.port)
            for address in others:
                with suppress(OSError):
                    return self.open(address, (ends_at - time.monotonic()) / 2)
            return self.open(last, ends_at - time.monotonic())
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error

    def open(self, address: Address, seconds: float) -> socket.socket:
        """Return a socket that is connected to an address, without a timeout of its own."""
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(max(seconds, 0.001))
            sock.connect(address.sockaddr)
        except BaseException as error:  # a deadline too
            sock.close()
            if isinstance(error, OSError):
                self.addresses.failed(address, error)
            raise
        self.address = address
        sock.settimeout(None)
        return sock

    def connect(self) -> None:
        """Connect within the connect timeout, lookup, TLS and a proxy's tunnel included.

        Whatever is not done by then was not sent: as a ConnectTimeoutError it may be tried again.
        """
        with fail_after(self.timeout or 0, ConnectTimeoutError(self, "not connected in time")):
            super().connect()
        # Not all at the same age: those of a burst would all be made anew at once.
        self.expires_at = time.monotonic() + self.max_age * random.uniform(0.8, 1)

    @property
    def is_connected(self) -> bool:
        """Whether the connection may be used again; urllib3 asks before each use.

        Not by gevent's poll, which waits even for 0 s: urllib3 does not close the connection of a
        call that is killed just then. It takes 18 us, and poll itself 1 us.
        """
        if self.is_closed:
            return False
        poll = get_original("select", "poll")()
        poll.register(self.sock, select.POLLIN)
        return (
            not poll.poll(0)  # neither closed nor with bytes that nobody asked for
            and time.monotonic() < self.expires_at
            and not self.addresses.should_avoid(self.address)
        )

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request, without the connect timeout that urllib3 leaves on the socket.

        It would bound the sending of the whole body; the total time does.
        """
        if self.is_closed:
            self.connect()
        self.timeout = None
        super().request(*args, **options)


class TLSConnection(Connection, HTTPSConnection):
    """A connection over TLS."""

    def __init__(self, *args: Any, tls: TLS, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tls = tls

    def connect(self) -> None:
        """Connect with the certificates as they are now."""
        self.ssl_context = self.tls.context()
        super().connect()
