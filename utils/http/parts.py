"""The parts of a request: the URL of an upstream, the path below it, and the body."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec
from msgspec import UNSET

from utils.errors import ParameterError, shorten

PATH_CHARACTERS = "/:@!$&'()*+,;="  # RFC 3986, 3.3
SURROGATE = re.compile("[\ud800-\udfff]")
NEVER_IN_PATHS = re.compile("//|[?#\\\\\0-\x1f\x7f-\x9f\ud800-\udfff]")

Fields = Mapping[str, Any] | Iterable[tuple[str, Any]]


def parse_base_url(
    name: str, url: str, is_proxy: bool = False
) -> tuple[str, tuple[str, str] | None]:
    """Return the URL without its user and password, and these, if it has them."""
    with suppress(ValueError):  # the text of urlsplit's error may contain the password
        parts = urlsplit(url)
        user, password = parts.username, parts.password or ""
        auth = (unquote(user, "latin-1"), unquote(password, "latin-1")) if user else None
        path = parts.path.rstrip("/")
        base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"
        # A proxy of another scheme needs packages, or TLS within TLS.
        schemes = ("http",) if is_proxy else ("http", "https")
        usable = parts.scheme in schemes and parts.hostname and parts.port != 0
        (parts.hostname or "").encode("idna")  # a label that is too long would fail at each call
        if usable and not (parts.query or parts.fragment or (is_proxy and path)):
            return base, auth
    example = "proxy like http://user:password@host:3128"
    if not is_proxy:
        example = "URL like http://user:password@host:8080/path"
    raise ValueError(f"{name}: expected a {example}")


def quote_path(path: str, *segments: str | int) -> str:
    """Quote a path, and each value after it as one segment: ("/users", "a/b") is /users/a%2Fb.

    ValueError for a path with what belongs into no path: values have segments of their own.
    ParameterError for a value that would name another resource, as `..` does.
    """
    if not path.startswith("/") or NEVER_IN_PATHS.search(path) or has_dot_segment(path):
        raise ValueError(f"expected a path like /stock, and values after it: {path[:50]!r}")
    quoted = quote(path, safe=PATH_CHARACTERS)
    for segment in segments:
        quoted = f"{quoted.removesuffix('/')}/{quote_segment(segment)}"
    return quoted


def quote_segment(value: str | int) -> str:
    """Quote a value as one segment; ParameterError if there is no way to."""
    if not isinstance(value, (str, int)):
        raise TypeError(f"expected a str or an int in a path: {type(value).__qualname__}")
    text = str(value)
    # Many servers take %2E%2E%2F for `../` too: they decode first, and then look for it.
    if not text or has_dot_segment(text) or SURROGATE.search(text):
        raise ParameterError("a value cannot be part of a path", detail=shorten(text))
    return quote(text, safe="")


def has_dot_segment(text: str) -> bool:
    """Return whether it has a `.` or `..` as a segment, parameters (`..;a=b`) left aside."""
    return any(part.partition(";")[0] in (".", "..") for part in re.split(r"[/\\]", text))


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
