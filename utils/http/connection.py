"""Connections to another service: to which address, for how long, and fair to other greenlets.

Of urllib3 `_new_conn` and `_dns_host` have no public way; its SOCKS connection overrides them too.
"""

import random
import socket
import time
from contextlib import suppress
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from utils.context import fail_after
from utils.http.addresses import Address, Addresses
from utils.http.tls import TLS
from utils.turns import FairReads, is_readable


class Socket(FairReads, socket.socket):
    """A socket without TLS."""


class Connection(HTTPConnection):
    """A connection that is used for at most `max_age` seconds, and tries each address of a name."""

    def __init__(self, *args: Any, addresses: Addresses, max_age: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self.addresses, self.max_age = addresses, max_age

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that accepts. Each but the last has half the time left."""
        # Not an equal share: of eight addresses, none could be reached that is far away.
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
        family, sockaddr = address
        sock = Socket(family, socket.SOCK_STREAM)
        try:
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(max(seconds, 0.001))
            sock.connect(sockaddr)
        except BaseException as error:  # a deadline too
            sock.close()
            if isinstance(error, OSError):
                self.addresses.failed(address, error)
            raise
        self.address = address
        sock.settimeout(None)
        return sock

    def connect(self) -> None:
        """Connect within the connect timeout, lookup, TLS and a proxy's tunnel included."""
        # Nothing was sent by then: after a ConnectTimeoutError it may be tried again.
        with fail_after(self.timeout or 0, ConnectTimeoutError(self, "not connected in time")):
            super().connect()
        # Not all at the same age: those of a burst would all be made anew at once.
        self.expires_at = time.monotonic() + self.max_age * random.uniform(0.8, 1)

    @property
    def is_connected(self) -> bool:
        """Whether the connection may be used again; urllib3 asks before each use."""
        # Without waiting: urllib3 would not close the connection of a call that is killed then.
        return (
            not self.is_closed
            and not is_readable(self.sock)  # neither closed nor with bytes that nobody asked for
            and time.monotonic() < self.expires_at
            and not self.addresses.should_avoid(self.address)
        )

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request, without the connect timeout that urllib3 leaves on the socket."""
        if self.is_closed:
            self.connect()
        self.timeout = None  # it would bound the sending of the whole body; the total time does
        super().request(*args, **options)


class TLSConnection(Connection, HTTPSConnection):
    """A connection over TLS, with the certificates as they are when it is made."""

    def __init__(self, *args: Any, tls: TLS, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tls = tls

    def connect(self) -> None:
        self.ssl_context = self.tls.context()
        super().connect()
