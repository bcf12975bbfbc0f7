"""Werkzeug's request, with a body that is kept: each way to read it sees all of it."""

import io
from typing import IO, Any
from urllib.parse import unquote_to_bytes

from werkzeug import Request as WerkzeugRequest
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.formparser import FormDataParser
from werkzeug.utils import cached_property
from werkzeug.wsgi import get_content_length

from conf.current import settings
from utils.codec import check_utf8
from utils.errors import HTTPError, MalformedError, shorten
from utils.web.body import Body, decode_json, receive

PARTS = 1000  # of a form, as Werkzeug has it for multipart
ESCAPES = 20_000  # in a form; each of them, such as %41, takes 0.6 µs


class FormParser(FormDataParser):
    """Werkzeug's parser; a form that cannot be read is a 400 rather than an empty form."""

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: Any = None
    ) -> Any:
        """Return the stream, the fields and the files."""
        self.silent = False
        try:
            if mimetype == "application/x-www-form-urlencoded":
                text = stream.read()
                if text.count(b"&") >= PARTS or text.count(b"%") > ESCAPES:
                    raise RequestEntityTooLarge
                check_utf8(unquote_to_bytes(text))  # Werkzeug would leave it as %FF
                stream = io.BytesIO(text)
            return super().parse(stream, mimetype, content_length, options)
        except ValueError as error:
            raise MalformedError(f"the form cannot be read: {error}") from None
        except RequestEntityTooLarge:  # the body is within its limit: these are Werkzeug's own
            size = self.max_form_memory_size
            which = f"more than {PARTS} parts, {ESCAPES} escapes, or {size} bytes that are no file"
            raise RequestEntityTooLarge(which) from None


class BodyRequest(WerkzeugRequest):
    """The readers of a request's body.

    `body()`, `stream`, `get_data()`, `data`, `get_json()`, `form` and `files` all begin at its
    first byte, in any order: a signature can be checked before the body is parsed. All of them
    raise if it is too large or ends early. `_get_stream_for_parsing`, where `form` and `files`
    get theirs, is a private method of Werkzeug's.
    """

    form_data_parser_class = FormParser
    max_content_length = settings.max_body_bytes  # the route's, once that is known
    max_values = settings.max_body_values

    @cached_property
    def content(self) -> Body:
        """Return the body as it was sent, compressed or not."""
        length = get_content_length(self.environ)
        if length is None and not self.environ.get("wsgi.input_terminated"):
            length = 0
        return Body(receive(self.environ["wsgi.input"], length, self.max_content_length))

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
        """Return the whole body, which may be empty; only `as_text` has an effect."""
        body = self.content.read()
        return body.decode(errors="replace") if as_text else body

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Return the body's JSON value, read as strictly as an api class reads it."""
        try:
            if not (force or self.is_json):
                raise UnsupportedMediaType(f"Content-Type {shorten(self.mimetype)}, not JSON")
            return decode_json(self.body(), self.max_values)
        except (MalformedError, UnsupportedMediaType):
            if silent:
                return None
            raise

    @property
    def stream(self) -> IO[bytes]:
        """The body as a file; no other reader moves its position, or puts another one here."""
        return self.content.stream

    input_stream = stream  # nobody reads past the limit

    def _get_stream_for_parsing(self) -> IO[bytes]:
        self.check_content_encoding()
        return self.content.reader()

    def close(self) -> None:
        """Close the uploads and the body's temporary file."""
        super().close()
        if "content" in vars(self):
            self.content.close()
