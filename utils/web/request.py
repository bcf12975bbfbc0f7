"""The request as the service reads it."""

import re
import uuid
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Any

from werkzeug.exceptions import BadRequest
from werkzeug.utils import cached_property

from utils.web.client import client_route
from utils.web.readers import BodyRequest

MILLISECONDS = re.compile(r"[0-9]{1,12}")
REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
DEFAULT_PORTS = {"http": "80", "https": "443"}
# RFC 9112, 3.2: what a URL may have between its `//` and its path.
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
    """Return name and port ("" if it has none) of an http URL's host; None if it is none."""
    # RFC 3986, 3.2.2-3, but for two things: its reg-name may be empty, an http URL's may not
    # (RFC 9110, 4.2.1); and its port may be any number, TCP has none above 65535. A name may have
    # a `_`, as compose and swarm services do; werkzeug.sansio.utils.get_host refuses that.
    match = HOST.fullmatch(text)
    if match is None or int(match["port"] or 0) > 65535:
        return None
    try:
        if match["ipv6"]:
            IPv6Address(match["ipv6"])
    except AddressValueError:
        return None
    return match["name"], match["port"] or ""


def choose_uuid(supplied: str | None) -> str:
    """Return the caller's X-Request-ID if it is well formed, otherwise a new UUID."""
    return supplied if supplied and REQUEST_ID.fullmatch(supplied) else str(uuid.uuid4())


class Request(BodyRequest):
    """A request with its uuid, its route, and the fields that every answer to it echoes.

    `client` is the client's address, which it cannot forge (see utils/web/client.py); "" over a
    unix socket if the proxy says no more. In `access_route` trusted proxies follow it.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        super().__init__(environ, populate_request=False)  # which would be a reference cycle
        self.uuid = choose_uuid(environ.get("HTTP_X_REQUEST_ID"))
        self.route = self.path
        self.echo: dict[str, Any] = {}
        self.log_fields: dict[str, Any] = {}  # the route's own
        self.access_route = route = client_route(environ)
        self.client = self.remote_addr = route[0]

    def check_host(self) -> None:
        """Raise BadRequest for a Host that no URL can have, or none where there has to be one."""
        host = self.environ.get("HTTP_HOST")
        if host is None:
            if self.environ.get("SERVER_PROTOCOL") != "HTTP/1.0":
                raise BadRequest("no Host header")
        elif not split_host(host):
            raise BadRequest("the Host is malformed")  # it may hold a password

    def timeout(self, default: float) -> float:
        """Return the seconds that the request may take: `default`, or fewer if the caller says."""
        sent = self.environ.get("HTTP_X_REQUEST_TIMEOUT_MS", "")
        return min(default, int(sent) / 1000) if MILLISECONDS.fullmatch(sent) else default

    @cached_property
    def host(self) -> str:
        """Return the Host header, without the port if that is the scheme's own."""
        if "HTTP_HOST" not in self.environ:
            return super().host
        name, port = split_host(self.environ["HTTP_HOST"]) or ("", "")
        return f"{name}:{port}" if port and port != DEFAULT_PORTS.get(self.scheme) else name

    def fields(self) -> bytes | dict[str, list[str]]:
        """Return what the caller sent: the query, or the body where the method has one."""
        if self.method in ("GET", "HEAD", "DELETE"):
            return self.args.to_dict(flat=False)
        return self.body()
