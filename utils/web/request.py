"""The request as the service reads it."""

import re
import uuid
from typing import Any

from werkzeug import Request as WerkzeugRequest
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from conf.current import settings
from utils.errors import MalformedError

MILLISECONDS = re.compile(r"[0-9]{1,12}")
WELL_FORMED = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def choose_uuid(supplied: str | None) -> str:
    """Return the caller's X-Request-ID if it is well formed, otherwise a new UUID."""
    return supplied if supplied and WELL_FORMED.fullmatch(supplied) else str(uuid.uuid4())


class Request(WerkzeugRequest):
    """Werkzeug's request, with its uuid and the fields that every answer to it echoes."""

    def __init__(self, environ: dict[str, Any]) -> None:
        super().__init__(environ)
        self.uuid = choose_uuid(environ.get("HTTP_X_REQUEST_ID"))
        self.route = self.path
        self.echo: dict[str, Any] = {}

    def check_host(self) -> None:
        """Raise BadRequest for a Host that HTTP does not allow (RFC 9112, 3.2)."""
        sent = "HTTP_HOST" in self.environ
        if not (self.host if sent else self.environ.get("SERVER_PROTOCOL") == "HTTP/1.0"):
            raise BadRequest

    def seconds(self, limit: float) -> float:
        """Return the seconds that the request may take: the caller may want fewer of them.

        It says so in X-Request-Timeout-Ms, in milliseconds; what is no number is ignored.
        """
        sent = self.environ.get("HTTP_X_REQUEST_TIMEOUT_MS", "")
        return min(limit, int(sent) / 1000) if MILLISECONDS.fullmatch(sent) else limit

    def fields(self) -> bytes | dict[str, list[str]]:
        """Return what the caller sent: the query, or the body where the method has one."""
        if self.method in ("GET", "HEAD", "DELETE"):
            return self.args.to_dict(flat=False)
        return self.body()

    def body(self) -> bytes:
        """Read the whole body, at most MAX_BODY_BYTES of it.

        The server raises OSError for a body that is cut short or wrongly chunked.
        """
        length, limit = self.content_length, settings.max_body_bytes
        if length is not None and length > limit:
            raise RequestEntityTooLarge
        if length is None and not self.environ.get("wsgi.input_terminated"):
            length = 0
        try:
            body: bytes = self.environ["wsgi.input"].read(limit + 1 if length is None else length)
        except OSError as error:
            raise MalformedError("the body is cut short or wrongly chunked") from error
        if len(body) > limit:
            raise RequestEntityTooLarge
        if length is not None and len(body) < length:
            raise MalformedError(f"the body is cut short: {len(body)} of {length} bytes")
        if not body:
            raise MalformedError("no body")
        return body
