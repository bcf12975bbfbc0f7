"""The Host header (RFC 9112, 3.2): what a URL may have between its `//` and its path."""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

NAME = r"[A-Za-z0-9._~!$&'()*+,;=-]"  # unreserved and sub-delims of RFC 3986
HOST = re.compile(
    rf"""(?P<name> (?: {NAME} | %[0-9A-Fa-f]{{2}} )+    # reg-name, which IPv4 addresses are too
                 | \[ (?P<ipv6> [0-9A-Fa-f:.]+ ) \]
                 | \[ v[0-9A-Fa-f]+ \. (?: {NAME} | : )+ \] # IPvFuture
    ) (?: : 0* (?P<port> [0-9]{{0,5}} ) )?""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)


@lru_cache(maxsize=256)  # a service is called by few names
def split_host(text: str) -> tuple[str, str] | None:
    """Return the name and the port ("" if it has none) of an http URL's host; None if it is none.

    RFC 3986, 3.2.2-3, but for two things: its reg-name may be empty, an http URL's may not
    (RFC 9110, 4.2.1); and its port may be any number, TCP has none above 65535. A name may have a
    `_`, as compose and swarm services do; werkzeug.sansio.utils.get_host refuses that.
    """
    match = HOST.fullmatch(text)
    if match is None or int(match["port"] or 0) > 65535:
        return None
    try:
        if match["ipv6"]:
            IPv6Address(match["ipv6"])
    except AddressValueError:
        return None
    return match["name"], match["port"] or ""
