"""The request as the service reads it."""

import re
import uuid
from typing import IO, Any
from urllib.parse import unquote_to_bytes

from werkzeug import Request as WerkzeugRequest
from werkzeug.exceptions import BadRequest, UnsupportedMediaType
from werkzeug.utils import cached_property

from conf.current import settings
from utils.errors import HTTPError, MalformedError
from utils.web.body import Body, decode_json
from utils.web.client import client_route
from utils.web.form import FormParser
from utils.web.host import split_host

MILLISECONDS = re.compile(r"[0-9]{1,12}")
REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
DEFAULT_PORTS = {"http": "80", "https": "443"}


def choose_uuid(supplied: str | None) -> str:
    """Return the caller's X-Request-ID if it is well formed, otherwise a new UUID."""
    return supplied if supplied and REQUEST_ID.fullmatch(supplied) else str(uuid.uuid4())


def shorten(text: str) -> str:
    """Return what a client sent as it may stand in a log line: quoted, escaped, and not long."""
    return ascii(text if len(text) <= 100 else f"{text[:100]}...")


class Request(WerkzeugRequest):
    """Werkzeug's request, with its uuid and the fields that every answer to it echoes.

    `body()`, `stream`, `get_data()`, `data`, `get_json()`, `form` and `files` all begin at the
    body's first byte, in any order: a signature can be checked before the body is parsed.
    `_get_stream_for_parsing` is a private method of Werkzeug's.
    """

    form_data_parser_class = FormParser
    max_content_length = settings.max_body_bytes  # of the route, once that is known

    def __init__(self, environ: dict[str, Any]) -> None:
        super().__init__(environ, populate_request=False)  # which would be a reference cycle
        self.uuid = choose_uuid(environ.get("HTTP_X_REQUEST_ID"))
        self.route = self.path
        self.echo: dict[str, Any] = {}

    def check_target(self) -> None:
        """Raise BadRequest for a Host or a URL that cannot be read."""
        host = self.environ.get("HTTP_HOST")
        if host is None:
            if self.environ.get("SERVER_PROTOCOL") != "HTTP/1.0":
                raise BadRequest("no Host header")
        elif not split_host(host):
            raise BadRequest(f"Host {shorten(host)}")
        path, query = self.environ["PATH_INFO"], self.environ.get("QUERY_STRING", "")
        try:
            if not path.isascii():
                path.encode("latin-1").decode()
            if "%" in query or not query.isascii():
                unquote_to_bytes(query.encode("latin-1")).decode()
        except UnicodeDecodeError:
            url = f"{path}?{query}"
            raise BadRequest(f"the URL is not UTF-8: {shorten(url)}") from None

    def timeout(self, default: float) -> float:
        """Return the seconds that the request may take: the caller may want fewer than `default`.

        The caller says so in X-Request-Timeout-Ms, in milliseconds; what is no number is ignored.
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

    @cached_property
    def access_route(self) -> list[str]:
        """Return the client's address, then those of the trusted proxies on the way from it."""
        return client_route(self.environ)

    @property
    def client(self) -> str:
        """The client's address, which it cannot forge: see utils/web/client.py.

        Over a unix socket it is "" if the proxy does not say more.
        """
        return self.access_route[0]

    @property
    def remote_addr(self) -> str | None:
        """The client's address."""
        return self.client

    @remote_addr.setter
    def remote_addr(self, peer: str | None) -> None:
        """Leave our peer's address to the environ; Werkzeug sets it here."""

    def fields(self) -> bytes | dict[str, list[str]]:
        """Return what the caller sent: the query, or the body where the method has one."""
        if self.method in ("GET", "HEAD", "DELETE"):
            return self.args.to_dict(flat=False)
        return self.body()

    @cached_property
    def content(self) -> Body:
        """Return the body as it was sent, compressed or not."""
        length = self.content_length
        if length is None and not self.environ.get("wsgi.input_terminated"):
            length = 0
        return Body(self.environ["wsgi.input"], length, self.max_content_length)

    def body(self) -> bytes:
        """Return the whole body; raise MalformedError if there is none.

        Raises 413 above MAX_BODY_BYTES, or the route's `max_body_bytes`, and 415 for a compressed
        body, which only `get_data()` and `stream` return.
        """
        self.check_content_encoding()
        body = self.content.read()
        if not body:
            raise MalformedError("no body")
        return body

    def check_content_encoding(self) -> None:
        """Refuse a compressed body, and ask for it as it is (RFC 9110, 15.5.16)."""
        sent = self.environ.get("HTTP_CONTENT_ENCODING")
        if sent and any(coding.strip(" \t").lower() != "identity" for coding in sent.split(",")):
            raise HTTPError(
                "unsupported media type",
                {"Accept-Encoding": "identity"},
                415,
                detail=f"Content-Encoding {shorten(sent)}",
            )

    def get_data(
        self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False
    ) -> Any:
        """Return the whole body, which may be empty; the other options change nothing here."""
        body = self.content.read()
        return body.decode(errors="replace") if as_text else body

    @property
    def data(self) -> bytes:
        """The whole body, of a form too."""
        return self.content.read()

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Return the body's JSON value, read as strictly as an api class reads it."""
        if not (force or self.is_json):
            if silent:
                return None
            raise UnsupportedMediaType(f"Content-Type {shorten(self.mimetype)}, not JSON")
        try:
            return decode_json(self.body())
        except MalformedError:
            if silent:
                return None
            raise

    @cached_property
    def body_stream(self) -> IO[bytes]:
        return self.content.reader()

    @property
    def stream(self) -> IO[bytes]:
        """The body as a file; no other reader moves its position."""
        return self.body_stream

    @property
    def input_stream(self) -> IO[bytes]:  # type: ignore[override]
        """The same as `stream`: nobody reads past the limit."""
        return self.body_stream

    def _get_stream_for_parsing(self) -> IO[bytes]:
        self.check_content_encoding()
        return self.content.reader()

    @property
    def has_files(self) -> bool:
        """Whether `close` has something to close: uploads, or the body's temporary file."""
        known = vars(self)
        return "files" in known or ("content" in known and self.content.file is not None)

    def close(self) -> None:
        """Close the uploads and the body's temporary file."""
        super().close()
        if "content" in vars(self):
            self.content.close()
