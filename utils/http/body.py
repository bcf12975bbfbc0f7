"""The body of a call: JSON, a form, or bytes as they are."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

Fields = Mapping[str, Any] | Iterable[tuple[str, Any]]


def encode_body(
    json: Any, data: Fields | None, content: bytes | str | None
) -> tuple[Any, dict[str, str]]:
    """Return what requests sends as the body, and its Content-Type as a header."""
    if [json is not UNSET, data is not None, content is not None].count(True) > 1:
        raise ValueError("expected one of json, data and content")
    if json is not UNSET:
        return msgspec.json.encode(json), {"Content-Type": "application/json"}
    if data is not None:
        # As a list, for requests would send another iterable, as `dict.items()`, in chunks.
        fields = data if isinstance(data, Mapping) else list(data)
        return fields, {"Content-Type": "application/x-www-form-urlencoded"}
    if content is not None:
        raw = content.encode() if isinstance(content, str) else memoryview(content).tobytes()
        return raw, {"Content-Type": "application/octet-stream"}
    return None, {}
