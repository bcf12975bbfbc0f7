"""What gunicorn refuses before the application is called: as an envelope, and in the log."""

import re
from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)

from utils.context import request_uuid
from utils.errors import HTTPError, ServiceError
from utils.log import logger
from utils.web import Envelope, choose_uuid

# The other faults are 400. RFC 9112, 6.1 has 501 for an unknown transfer coding; only the client
# can correct it, so it gets 400 as well.
STATUSES: dict[type[Exception], HTTPStatus] = {
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
}
APPLICATION_FAULTS = (InvalidResponseHeader, InvalidResponseHeaderName)
FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}):.*", re.DOTALL)
FIELDS = ("method", "route", "status", "err_code", "ms", "client", "err_msg", "detail")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def fault_of(error: ParseException) -> str:
    """Return gunicorn's message without what it could not read, which may be a secret."""
    return str(error).partition(":")[0]


def describe_head(error: ParseException, head: bytes) -> str:
    """Return where in these header lines the fault is: in which field, or which line."""
    lines = head.decode("latin-1").split("\r\n")
    if isinstance(error, LimitRequestHeaders):
        longest = max(lines, key=len)
        return f"{len(lines)} fields, the longest {field_name(longest)} of {len(longest)} bytes"
    wanted = str(getattr(error, "hdr", ""))
    if faulty := [line for line in lines if field_name(line) == wanted.upper()]:
        bad = CONTROL.search("".join(faulty))
        return f"{wanted}, {len(faulty)} times" + (f", with {bad[0]!r} in its value" if bad else "")
    numbers = [number for number, line in enumerate(lines, 1) if wanted and line.startswith(wanted)]
    return f"line {numbers[0]} of the head" if numbers else ""


def field_name(line: str) -> str:
    """Return the name of a field in capitals, or `-` if that may be no name."""
    match = FIELD.fullmatch(line)
    return match[1].upper() if match else "-"


def refusal(error: BaseException, client: Any) -> bytes:
    """Log what went wrong outside of the application; return the connection's last response."""
    uuid = choose_uuid(None)
    request_uuid.set(uuid)
    refused = ServiceError()
    if isinstance(error, ParseException) and not isinstance(error, APPLICATION_FAULTS):
        refused = as_http_error(error)
        log_refusal(refused, client)
    else:
        logger.error("unexpected error", exc_info=error)
    response = Envelope(uuid, {}, error=refused)
    response.headers.extend({"X-Request-ID": uuid, "Connection": "close"})
    head = f"HTTP/1.1 {response.status}\r\n{response.headers}"
    return head.encode("latin-1") + response.get_data()


def as_http_error(error: ParseException) -> HTTPError:
    status = STATUSES.get(type(error), HTTPStatus.BAD_REQUEST)
    notes = filter(None, getattr(error, "__notes__", []))
    detail = "; ".join([fault_of(error), *notes])
    return HTTPError(status.phrase.lower(), status=status, detail=detail)


def log_refusal(error: HTTPError, client: Any) -> None:
    """Log a line with the fields of the application's own lines, in their order."""
    address = client[0] if isinstance(client, tuple) else "-"
    values = "-", "-", error.status, error.err_code, "-", address, str(error), error.detail
    line = "{} {} {} {} {} {} {}: {}".format(*values).replace("=", "\\x3d")  # as in app.py
    logger.info("%s", line, extra={"fields": dict(zip(FIELDS, values, strict=True))})
