"""The addresses of a name: all of them in turn, those that failed lately last."""

import errno
import itertools
import math
import random
import time
from socket import SOCK_STREAM, getaddrinfo
from typing import Any

import gevent

UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH)
FAILED_SECONDS = 10.0
Address = tuple[int, Any]  # family and sockaddr, as `getaddrinfo` returns them


class Addresses:
    """The addresses of an upstream's name, and which of them failed."""

    def __init__(self) -> None:
        self.lookups: dict[tuple[str, int], gevent.Greenlet[..., list[Address] | OSError]] = {}
        self.known: list[Address] = []
        # Each process begins at another address, or else all would begin at the first.
        self.turns = itertools.count(random.randrange(1 << 16))
        self.failed_at: dict[Address, float] = {}

    def of(self, host: str, port: int) -> list[Address]:
        """Return the addresses to try, in this order."""
        # A name is looked up once at a time: gevent resolves in ten threads, and a DNS server
        # that hangs would soon have them all, and with them every other name of the process.
        lookup = self.lookups.get((host, port))
        if lookup is None or lookup.ready():
            lookup = self.lookups[host, port] = gevent.spawn(look_up, host, port)
        found = lookup.get()
        if isinstance(found, OSError):
            raise found
        self.known = found
        first = next(self.turns) % len(found)
        return sorted(found[first:] + found[:first], key=self.failed_lately)

    def failed(self, address: Address, error: OSError) -> None:
        """Note that an address does not accept connections."""
        # A failure of this machine (no free port or descriptor) says nothing about the address.
        if isinstance(error, ConnectionError | TimeoutError) or error.errno in UNREACHABLE:
            # Forget those that the name no longer has, or this would grow for ever.
            self.failed_at = {each: self.failed_at.get(each, -math.inf) for each in self.known}
            self.failed_at[address] = time.monotonic()

    def failed_lately(self, address: Address) -> bool:
        return time.monotonic() - self.failed_at.get(address, -math.inf) < FAILED_SECONDS

    def should_avoid(self, address: Address) -> bool:
        """Return whether to drop kept connections to an address, for another address works."""
        # Not if all failed: the upstream may have no room for new connections.
        return self.failed_lately(address) and not all(map(self.failed_lately, self.known))


def look_up(host: str, port: int) -> list[Address] | OSError:
    """Return the addresses; an error too is returned, for gevent prints what a greenlet raises."""
    try:
        found = getaddrinfo(host, port, type=SOCK_STREAM)
    except OSError as error:
        return error
    # Sorted, for DNS shuffles them, and turns need an order.
    return sorted({(family, sockaddr) for family, _, _, _, sockaddr in found})
