"""Werkzeug's request, with a body that is kept: each way to read it sees all of it."""

from typing import IO, Any

from werkzeug import Request as WerkzeugRequest
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.utils import cached_property

from conf.current import settings
from utils.errors import HTTPError, MalformedError, shorten
from utils.web.body import Body, decode_json
from utils.web.form import FormParser


class BodyRequest(WerkzeugRequest):
    """The readers of a request's body.

    `body()`, `stream`, `get_data()`, `data`, `get_json()`, `form` and `files` all begin at its
    first byte, in any order: a signature can be checked before the body is parsed. All of them
    raise if it is too large or ends early. `_get_stream_for_parsing`, where `form` and `files`
    get theirs, is a private method of Werkzeug's.
    """

    form_data_parser_class = FormParser
    max_content_length = settings.max_body_bytes  # the route's, once that is known

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
