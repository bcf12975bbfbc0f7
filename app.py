"""The WSGI application: find the route, call its method, answer with an envelope."""

from gevent import monkey

monkey.patch_all()

import json
import re
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from gevent import Timeout
from werkzeug import Response
from werkzeug.datastructures import Headers
from werkzeug.exceptions import MethodNotAllowed

from decorator import match, url_map
from server import g_server
from utils.context import baggage, request_deadline, request_uuid, traceparent, tracestate
from utils.errors import shorten
from utils.log import logger
from utils.web import Envelope, Request, Service, allow_origin, check_origin

UNEXPECTED = (Exception, SystemExit, Timeout)  # gevent's Timeout is no Exception
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.1
SENDABLE = re.compile(r"[\t -~\x80-\xff]*")  # values of headers; gunicorn refuses all others
PLAIN = re.compile(r"[\w.:/@+<>-]+")  # what is one word of a log line, and no name=value
# The fields of a request's log line, and those that JSON has beside them.
FIXED = {"method", "route", "status", "err_code", "ms", "client", "err_msg", "detail"}
FIXED |= {"time", "level", "pid", "uuid", "at", "message", "traceback"}


def g_app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer one request and log it."""
    request = Request(environ)
    request_uuid.set(request.uuid)
    traceparent.set(environ.get("HTTP_TRACEPARENT", ""))
    tracestate.set(environ.get("HTTP_TRACESTATE", ""))
    baggage.set(environ.get("HTTP_BAGGAGE", ""))
    started = time.perf_counter()
    response = dispatch(request)
    milliseconds = (time.perf_counter() - started) * 1000
    after_request(request, response)
    close_files(request, response)
    log_request(request, response, milliseconds)
    return response(environ, start_response)


def dispatch(request: Request) -> Response:
    """Call the method of the request's route; whatever is raised becomes an envelope here."""
    try:
        request.check_host()
        check_origin(request)
        if request.environ["PATH_INFO"] == "*":  # the service as a whole (RFC 9112, 3.2.4)
            raise MethodNotAllowed({m for rule in url_map.iter_rules() for m in rule.methods or ()})
        route, path_params = match(request.environ)
        request.route = route.rule
        request.max_content_length = route.max_body_bytes
        request.max_values = route.max_body_values
        with request_deadline(request.timeout(route.timeout)):
            response: Response = getattr(g_server, route.endpoint)(request, **path_params)
        if not isinstance(response, Response):
            raise TypeError(f"{route.endpoint} returned {type(response).__name__}, not a Response")
        return response
    except MethodNotAllowed as error:
        return method_not_allowed(request, error)
    except UNEXPECTED as error:
        return g_server.error_response(request, error)


def method_not_allowed(request: Request, error: MethodNotAllowed) -> Response:
    """Answer OPTIONS, refuse other methods that the path lacks (RFC 9110, 9.3.7 and 15.5.6)."""
    error.valid_methods = sorted({*(error.valid_methods or ()), "OPTIONS"})
    allowed = ", ".join(error.valid_methods)
    if request.method != "OPTIONS":
        error.description = f"{shorten(request.method)}, allowed: {allowed}"
        return g_server.error_response(request, error)
    response = Envelope(request.uuid, request.echo)
    response.headers["Allow"] = allowed
    return response


def after_request(request: Request, response: Response) -> None:
    """Call `Server.after_request` and drop headers that cannot be sent.

    An error here must not turn a finished write into a 500.
    """
    try:
        g_server.after_request(request, response)
    except UNEXPECTED:
        logger.exception("after_request failed")
        Service.after_request(g_server, request, response)
    allow_origin(request, response)
    unsendable = [header for header in response.headers if not is_sendable(*header)]
    for name, _ in unsendable:  # the value may be a secret, such as that of a cookie
        logger.error("header %r is left out, it cannot be sent", name)
    if unsendable:
        response.headers = Headers([h for h in response.headers if h not in unsendable])


def is_sendable(name: str, value: str) -> bool:
    """Return whether gunicorn sends the header; Werkzeug encodes the text of a URL itself."""
    if name in ("Location", "Content-Location"):
        return True
    is_plain = value.isascii() and value.isprintable()  # as most are; in a fifth of the time
    return is_header_name(name) and (is_plain or bool(SENDABLE.fullmatch(value)))


@lru_cache(maxsize=256)
def is_header_name(name: str) -> bool:
    return bool(HEADER_NAME.fullmatch(name))


def close_files(request: Request, response: Response) -> None:
    """Close uploads and temporary files; a response that is a stream may still read them."""
    if response.is_sequence:
        request.close()
    else:
        response.call_on_close(request.close)


def log_request(request: Request, response: Response, milliseconds: float) -> None:
    """Log one line: these fields in this order; err_msg and detail stand only in a refusal's."""
    fields = {
        "method": request.method[:20],  # gunicorn lets no longer one through
        "route": request.route[:256],
        "status": response.status_code,
        "err_code": getattr(response, "err_code", "-"),
        "ms": round(milliseconds, 3),
        "client": request.client or "-",
    }
    line, text = " ".join(map(word, fields.values())), ""
    if isinstance(response, Envelope) and response.err_code:
        fields["err_msg"] = response.err_msg
        text = f" {response.err_msg}"
    if isinstance(response, Envelope) and response.detail:
        fields["detail"] = response.detail
        text += f": {response.detail}"
    # In it a client can write neither a word that shifts those before it nor a name=value.
    line += text.replace("=", "\\x3d")
    own = own_fields(request)
    line += "".join(f" {quoted(name)}={quoted(value)}" for name, value in own.items())
    logger.info("%s", line, extra={"fields": fields | own})


def own_fields(request: Request) -> dict[str, Any]:
    """Return `log_fields` without reserved names; what is not a number of 64 bits becomes text."""
    own: dict[str, Any] = {}
    for name, value in (request.log_fields or {}).items():
        if name not in FIXED:
            is_number = isinstance(value, (int, float)) and -(1 << 63) <= value < 1 << 64
            own[name] = value if is_number else as_text(value)
    return own


def as_text(value: Any) -> str:
    """Return the value as text; an error here must not turn a finished write into a 500."""
    try:
        return str(value)
    except Exception as error:
        return f"{type(value).__name__} without a text: {error!r}"


def word(value: Any) -> str:
    """Return the value as one word of a log line, with the escapes of a URL if need be."""
    text = str(value)
    return text if PLAIN.fullmatch(text) else quote(text, "/:<>", errors="replace")[:256]


def quoted(value: Any) -> str:
    """Return the name or value of an own field, quoted if it might be taken for more."""
    text = str(value)
    if PLAIN.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=False).replace("=", "\\u003d")
