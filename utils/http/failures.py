"""What the errors of requests, urllib3 and http.client mean to the caller of an upstream."""

import ssl
from collections.abc import Iterator
from http.client import HTTPException, IncompleteRead, RemoteDisconnected

from requests import TooManyRedirects
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    InvalidChunkLength,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from utils.errors import UnavailableError
from utils.log import logger

# The errors of requests are OSErrors, those of parsing a URL or a number ValueErrors.
LIBRARY_ERRORS = (OSError, HTTPError, HTTPException, ValueError)

# The first row counts that fits the error, or one that it wraps. Some are subclasses of others:
# RemoteDisconnected and IncompleteRead of HTTPException, a certificate's error of ValueError.
MEANINGS: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (
    ("redirects too often", (TooManyRedirects,)),
    ("cannot be reached through its proxy", (ProxyError,)),
    ("cannot be reached", (ConnectTimeoutError,)),
    ("did not answer within {read_timeout:g} s", (ReadTimeoutError,)),
    ("sent an invalid response", (InvalidChunkLength, DecodeError)),
    ("closed the connection early", (RemoteDisconnected, IncompleteRead)),
    ("cannot be reached over TLS", (SSLError, ssl.SSLError)),
    ("sent an invalid response", (HTTPException, ValueError)),
    ("closed the connection early", (BaseException,)),
)


def unavailable(name: str, what: str, cause: str = "") -> UnavailableError:
    """Return the error for a failed call; the log has its cause too."""
    logger.warning("%s %s%s", name, what, f": {cause}" if cause else "")
    return UnavailableError(f"{name} {what}")


def unavailable_because(error: BaseException, name: str, read_timeout: float) -> UnavailableError:
    """Return the error for a failed call; the log has the classes of its causes."""
    errors = list(causes(error))
    meaning = next(
        meaning for meaning, kinds in MEANINGS if any(isinstance(each, kinds) for each in errors)
    )
    # Not their texts: these contain URLs, and so passwords and keys.
    classes = " < ".join(type(each).__name__ for each in errors)
    return unavailable(name, meaning.format(read_timeout=read_timeout), classes)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it wraps, outermost first."""
    # requests and urllib3 wrap an error as an argument, MaxRetryError as its `reason`, some only
    # by `raise ... from`. Not by __context__: that goes on to what the caller was handling.
    while error is not None:
        yield error
        wrapped = [getattr(error, "reason", None), *error.args, error.__cause__]
        error = next((each for each in wrapped if isinstance(each, BaseException)), None)
