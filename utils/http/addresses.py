"""The addresses of a name: all of them in turn, those that failed lately last."""

import itertools
import math
import random
import socket
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import gevent

FAILED_SECONDS = 10.0
# How long the last answer counts while DNS fails. Not longer: an address may get a new owner.
STALE_SECONDS = 60.0

Name = tuple[str, int]


class Address(NamedTuple):
    """An address of a name, as `getaddrinfo` returns it."""

    family: int
    sockaddr: Any


class Addresses:
    """The addresses of names, as they were last looked up."""

    def __init__(self) -> None:
        self.known: dict[Name, tuple[float, list[Address]]] = {}
        self.lookups: dict[Name, gevent.Greenlet[..., list[Address] | OSError]] = {}
        # Each process begins at another address, or else all would begin at the first.
        self.turns: dict[Name, Iterator[int]] = defaultdict(
            lambda: itertools.count(random.randrange(1 << 16))
        )
        self.failed_at: dict[Address, float] = {}

    def of(self, host: str, port: int, seconds: float) -> list[Address]:
        """Return the addresses to try, in this order; OSError if none is known in time."""
        found = self.look_up((host, port), seconds)
        first = next(self.turns[host, port]) % len(found)
        return sorted(found[first:] + found[:first], key=self.failed_lately)

    def look_up(self, name: Name, seconds: float) -> list[Address]:
        """Return the addresses, or those of a minute ago if DNS does not answer.

        A name is looked up once at a time: gevent resolves in ten threads, and a DNS server
        that hangs would soon have them all, and with them every other name of the process.
        """
        known_at, addresses = self.known.get(name, (-math.inf, []))
        lookup = self.lookups.get(name)
        if lookup is None or lookup.ready():
            lookup = self.lookups[name] = gevent.spawn(resolve, name)
        lookup.join(seconds / 2 if addresses else seconds)  # leave time to connect
        if isinstance(lookup.value, list):
            self.known[name] = time.monotonic(), lookup.value
            return lookup.value
        if time.monotonic() - known_at < STALE_SECONDS:
            return addresses
        raise lookup.value or TimeoutError("DNS did not answer in time")

    def failed(self, address: Address) -> None:
        """Note that an address does not accept connections."""
        now = time.monotonic()
        self.failed_at = {
            each: at for each, at in self.failed_at.items() if now - at < FAILED_SECONDS
        }
        self.failed_at[address] = now

    def works(self, address: Address) -> None:
        """Note that an address accepts connections."""
        self.failed_at.pop(address, None)

    def failed_lately(self, address: Address) -> bool:
        """Return whether an address failed in the last seconds, and has not worked since."""
        return time.monotonic() - self.failed_at.get(address, -math.inf) < FAILED_SECONDS


def resolve(name: Name) -> list[Address] | OSError:
    """Return the addresses of a name, sorted: DNS shuffles them, and turns need an order.

    An error is returned: gevent prints what a greenlet raises.
    """
    try:
        found = socket.getaddrinfo(*name, type=socket.SOCK_STREAM)
    except OSError as error:
        return error
    return sorted({Address(family, sockaddr) for family, _, _, _, sockaddr in found})
