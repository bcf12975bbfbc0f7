"""JSON, encoded and decoded by msgspec."""

import msgspec

encode = msgspec.json.Encoder().encode

# What decoding JSON raises. msgspec itself raises RecursionError for a document nested too deeply.
JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def check_utf8(text: bytes) -> bytes:
    """Return the text, or raise UnicodeDecodeError: msgspec does not check fields that it skips."""
    if not text.isascii():
        text.decode()
    return text
