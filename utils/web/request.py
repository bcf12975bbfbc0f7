"""The request as the service reads it."""

import re
import uuid
from typing import Any

from werkzeug.exceptions import BadRequest
from werkzeug.utils import cached_property

from utils.web.client import client_route
from utils.web.host import split_host
from utils.web.readers import BodyRequest

MILLISECONDS = re.compile(r"[0-9]{1,12}")
REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
DEFAULT_PORTS = {"http": "80", "https": "443"}


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
        self.access_route = route = client_route(environ)
        self.client = self.remote_addr = route[0]

    @cached_property
    def log_fields(self) -> dict[str, Any]:
        """Return the extra fields of the request's log line; the route fills them."""
        return {}

    def check_host(self) -> None:
        """Raise BadRequest for a Host that no URL can have, or none where there has to be one."""
        host = self.environ.get("HTTP_HOST")
        if host is None:
            if self.environ.get("SERVER_PROTOCOL") != "HTTP/1.0":
                raise BadRequest("no Host header")
        elif not split_host(host):
            raise BadRequest("the Host is malformed")  # it may hold a password

    def timeout(self, default: float) -> float:
        """Return the seconds that the request may take: `default`, or fewer if the caller says so.

        What is no number in its X-Request-Timeout-Ms is ignored.
        """
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
