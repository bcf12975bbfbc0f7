"""HTML forms, read by Werkzeug; one that cannot be read is a 400 rather than an empty form."""

import io
from typing import IO, Any
from urllib.parse import unquote_to_bytes

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from utils.codec import check_utf8
from utils.errors import MalformedError

Form = MultiDict[str, Any]


class FormParser(FormDataParser):
    """Werkzeug's parser, which by itself passes over faults in silence."""

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> tuple[IO[bytes], Form, Form]:
        """Return the stream, the fields and the files."""
        self.silent = False
        try:
            if mimetype == "application/x-www-form-urlencoded":
                text = stream.read()
                check_utf8(unquote_to_bytes(text))  # Werkzeug would leave it as %FF
                stream = io.BytesIO(text)
            return super().parse(stream, mimetype, content_length, options)
        except ValueError as error:
            raise MalformedError(f"the form cannot be read: {error}") from None
        except RequestEntityTooLarge as error:
            if error.description == RequestEntityTooLarge.description:  # Werkzeug's own limits
                error.description = (
                    f"more than {self.max_form_parts} parts, or a field of more than"
                    f" {self.max_form_memory_size} bytes that is no file"
                )
            raise
