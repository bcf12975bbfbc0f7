"""The addresses of a name: all of them in turn, those that failed lately last."""

import errno
import itertools
import math
import random
import time
from socket import SOCK_STREAM, getaddrinfo
from typing import Any, NamedTuple

import gevent

UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH)
FAILED_SECONDS = 10.0
# How long the last answer counts while DNS fails. Not longer: an address may get a new owner.
STALE_SECONDS = 60.0

Name = tuple[str, int]


class Address(NamedTuple):
    """An address of a name, as `getaddrinfo` returns it."""

    family: int
    sockaddr: Any


class Addresses:
    """The addresses of an upstream's name, as they were last looked up."""

    def __init__(self) -> None:
        self.known: dict[Name, tuple[float, list[Address]]] = {}
        self.lookups: dict[Name, gevent.Greenlet[..., OSError | None]] = {}
        # Each process begins at another address, or else all would begin at the first.
        self.turns = itertools.count(random.randrange(1 << 16))
        self.failed_at: dict[Address, float] = {}

    def of(self, host: str, port: int, seconds: float) -> list[Address]:
        """Return the addresses to try, in this order; OSError if none is known in time."""
        found = self.look_up((host, port), seconds)
        first = next(self.turns) % len(found)
        return sorted(found[first:] + found[:first], key=self.failed_lately)

    def look_up(self, name: Name, seconds: float) -> list[Address]:
        """Return the addresses, or those of a minute ago if DNS does not answer.

        A name is looked up once at a time: gevent resolves in ten threads, and a DNS server
        that hangs would soon have them all, and with them every other name of the process.
        """
        lookup = self.lookups.get(name)
        if lookup is None or lookup.ready():
            lookup = self.lookups[name] = gevent.spawn(self.resolve, name)
        lookup.join(seconds / 2 if name in self.known else seconds)  # leave time to connect
        known_at, addresses = self.known.get(name, (-math.inf, []))
        if time.monotonic() - known_at < STALE_SECONDS:
            return addresses
        raise lookup.value or TimeoutError("DNS did not answer in time")

    def resolve(self, name: Name) -> OSError | None:
        """Look a name up, and note its addresses, also if nobody waits for them any more.

        They are sorted: DNS shuffles them, and turns need an order. An error is returned, for
        gevent prints what a greenlet raises.
        """
        try:
            found = getaddrinfo(*name, type=SOCK_STREAM)
        except OSError as error:
            return error
        addresses = {Address(family, sockaddr) for family, _, _, _, sockaddr in found}
        self.known[name] = time.monotonic(), sorted(addresses)
        return None

    def failed(self, address: Address, error: OSError) -> None:
        """Note that an address does not accept connections.

        What fails here, as for want of ports or descriptors, says nothing about the address.
        """
        if not isinstance(error, ConnectionError | TimeoutError) and error.errno not in UNREACHABLE:
            return
        now = time.monotonic()
        self.failed_at = {
            each: at for each, at in self.failed_at.items() if now - at < FAILED_SECONDS
        }
        self.failed_at[address] = now

    def failed_lately(self, address: Address) -> bool:
        """Return whether an address failed in the last seconds."""
        return time.monotonic() - self.failed_at.get(address, -math.inf) < FAILED_SECONDS

    def is_left(self, address: Address) -> bool:
        """Return whether kept connections to an address are left for another one.

        Not if all failed: then new connections are what the upstream has no room for.
        """
        return self.failed_lately(address) and not all(
            self.failed_lately(other) for _, found in self.known.values() for other in found
        )
