"""The client's address: that of the last hop which is not a proxy of ours (TRUSTED_PROXIES).

Each proxy adds its own caller at the right end of X-Forwarded-For, or of Forwarded (RFC 7239). So
the last entry was written by our peer, and the one before it by the host that the last one names.
Read from the right, an entry counts if its writer is trusted; what a client made up comes after.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from conf.current import settings

# What a proxy may say instead of an address (RFC 7239, 6.3).
HIDDEN = re.compile(r"unknown|_[A-Za-z0-9._-]+", re.IGNORECASE)
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105
# Unquoted `[::1]:80` and `1.2.3.4:80` are not tokens, but proxies do send them.
PAIR = rf'[ \t]*({TOKEN})[ \t]*=[ \t]*([\[\]:!#$%&\'*+.^_`|~0-9A-Za-z-]+|"(?:[^"\\]|\\.)*")[ \t]*'
LAST_ELEMENT = re.compile(rf"(?:(?P<rest>.*),)?(?P<last>[ \t]*|{PAIR}(?:;{PAIR})*)", re.DOTALL)
PAIRS = re.compile(PAIR)


def client_route(environ: Mapping[str, Any]) -> list[str]:
    """Return the client's address and those of the trusted proxies after it, our peer last.

    The client's is "" if our peer has none, and `unknown` or an identifier with a `_` before it
    if a trusted proxy says no more. If both headers are there, one may be a client's that a
    proxy passed on: they count if they agree.
    """
    peer = plain_address(environ.get("REMOTE_ADDR") or "")
    routes = []
    for name, entries in (("X_FORWARDED_FOR", x_forwarded_for), ("FORWARDED", forwarded_for)):
        if header := environ.get(f"HTTP_{name}"):
            routes.append(trusted_route(peer, entries(header)))
    return routes[0] if routes and routes[0] == routes[-1] else [peer]


def trusted_route(peer: str, entries: Iterator[str]) -> list[str]:
    """Follow the entries, the last one first, as long as their writers are trusted."""
    route = [peer]
    for entry in entries:
        if not is_trusted(route[0]) or not (hop := hop_name(entry)):
            break
        route.insert(0, hop)
    return route


def x_forwarded_for(header: str) -> Iterator[str]:
    """Yield the entries of an X-Forwarded-For header, the last one first."""
    return (entry for text in reversed(header.split(",")) if (entry := text.strip(" \t")))


def forwarded_for(header: str) -> Iterator[str]:
    """Yield the `for` of the elements of a Forwarded header, the last one first."""
    # Parsed from the right, so that an open quote in what a client sent cannot swallow what a proxy
    # added: a `"` within a quoted string has a backslash before it, which no element begins with.
    rest: str | None = header
    while rest is not None and (match := LAST_ELEMENT.fullmatch(rest)):
        rest = match["rest"]
        if match["last"].strip(" \t"):
            pairs = PAIRS.findall(match["last"])
            values = [value for name, value in pairs if name.lower() == "for"]
            value = values[0] if len(values) == 1 else ""
            yield re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def hop_name(entry: str) -> str:
    """Return the address or identifier of an entry, without a port; "" if it has none."""
    name = entry
    if entry.startswith("["):
        name = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:  # more of them are IPv6 without a port
        name = entry.partition(":")[0]
    return name if HIDDEN.fullmatch(name) else plain_address(name)


@lru_cache(maxsize=4096)
def plain_address(text: str) -> str:
    """Return an IP address in its shortest form, or "" for anything else."""
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return ""  # which may be any text
        address = address.ipv4_mapped or address  # IPv4 at a socket on [::]
    return str(address)


@lru_cache(maxsize=4096)
def is_trusted(hop: str) -> bool:
    """Return whether what this hop says of its own peer counts."""
    # A peer over a unix socket: a process of this machine that may open the socket's file.
    # gunicorn, too, believes its X-Forwarded-Proto whatever TRUSTED_PROXIES is.
    if not hop:
        return True
    if HIDDEN.fullmatch(hop):
        return False
    return any(ip_address(hop) in network for network in trusted_networks())


@lru_cache(maxsize=1)
def trusted_networks() -> list[IPv4Network | IPv6Network]:
    proxies = (proxy.strip() for proxy in settings.trusted_proxies.split(","))
    return [ip_network(proxy) for proxy in proxies if proxy]
