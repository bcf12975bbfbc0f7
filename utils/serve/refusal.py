"""What gunicorn refuses before the application is called: as an envelope, and in the log."""

import re
from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import (
    ConfigurationProblem,
    ExpectationFailed,
    ForbiddenProxyRequest,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)

from utils.context import request_uuid
from utils.errors import HTTPError, ServiceError, shorten
from utils.log import logger
from utils.web import Envelope, choose_uuid

# The other faults are 400. RFC 9112, 6.1 has 501 for an unknown transfer coding; only the client
# can correct it, so it gets 400 as well.
STATUSES: dict[type[Exception], HTTPStatus] = {
    ConfigurationProblem: HTTPStatus.NOT_FOUND,  # a path that is not below SCRIPT_NAME
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    ForbiddenProxyRequest: HTTPStatus.FORBIDDEN,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
}
APPLICATION_FAULTS = (InvalidResponseHeader, InvalidResponseHeaderName)
# The values of other fields may be secrets.
SHOWN = {"CONTENT-LENGTH", "CONTENT-TYPE", "EXPECT", "HOST", "TRANSFER-ENCODING"}
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def as_service_error(error: BaseException) -> ServiceError:
    """Return a fault of the client as an HTTPError; anything else is unexpected."""
    if not isinstance(error, ParseException) or isinstance(error, APPLICATION_FAULTS):
        return ServiceError()
    status = STATUSES.get(type(error), HTTPStatus.BAD_REQUEST)
    detail = "; ".join(filter(None, [f"{error!s:.200}", *getattr(error, "__notes__", [])]))
    return HTTPError(status.phrase.lower(), status=status, detail=detail)


def describe_head(error: ParseException, lines: list[str]) -> str:
    """Return what gunicorn's message leaves out of a fault in these header lines."""
    if isinstance(error, LimitRequestHeaders):
        longest = max(lines, key=len, default="")
        name = shorten(longest.partition(":")[0])
        return f"{len(lines)} fields, the longest {name} of {len(longest)} bytes"
    wanted = str(getattr(error, "hdr", "")).upper()
    fields = [line.partition(":") for line in lines]
    values = [value.strip() for name, _, value in fields if name.upper() == wanted]
    if wanted in SHOWN:
        return f"{len(values)} times: " + ", ".join(map(shorten, values))
    bad = [repr(found[0]) for value in values if (found := CONTROL.search(value))]
    return f"with {bad[0]} in its value" if bad else ""


def refusal(error: BaseException, client: Any) -> bytes:
    """Log what went wrong outside of the application; return the response to it."""
    uuid = choose_uuid(None)
    request_uuid.set(uuid)
    refused = as_service_error(error)
    if refused.err_code == ServiceError.err_code:
        logger.error("unexpected error", exc_info=error)
    else:
        fields = {  # in the order of the application's own lines
            "method": "-",
            "route": "-",
            "status": refused.status,
            "err_code": refused.err_code,
            "ms": "-",
            "client": client[0] if isinstance(client, tuple) else "-",
            "err_msg": str(refused),
        }
        line = " ".join(map(str, fields.values()))
        extra = {"fields": {**fields, "detail": refused.detail}}
        logger.info("%s: %s", line, refused.detail, extra=extra)
    return serialize(Envelope(uuid, {}, error=refused), uuid)


def serialize(response: Envelope, uuid: str) -> bytes:
    """Return the response as it goes over the wire, the last one of its connection."""
    response.headers.extend({"X-Request-ID": uuid, "Connection": "close"})
    head = f"HTTP/1.1 {response.status}\r\n{response.headers}"
    return head.encode("latin-1") + response.get_data()
