"""The WSGI application: find the route, call its method, answer with an envelope."""

from gevent import monkey

monkey.patch_all()

from collections.abc import Iterable
from typing import Any

from gevent import Timeout
from werkzeug import Response
from werkzeug.exceptions import MethodNotAllowed

from decorator import match, url_map
from server import g_server
from utils.context import request_deadline, request_uuid, traceparent
from utils.log import logger
from utils.timing import timed
from utils.web import Envelope, Request


def g_app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer one request and log it."""
    request = Request(environ)
    request_uuid.set(request.uuid)
    traceparent.set(environ.get("HTTP_TRACEPARENT", ""))
    with timed() as took:
        response = answer(request)
    response.headers["X-Request-ID"] = request.uuid
    log_request(request, response, took.ms)
    return response(environ, start_response)


def answer(request: Request) -> Response:
    """Call the method that the URL names; whatever is raised becomes an envelope here."""
    try:
        request.check_host()
        if request.environ["PATH_INFO"] == "*":
            raise MethodNotAllowed({m for rule in url_map.iter_rules() for m in rule.methods or ()})
        route, path_params = match(request.environ)
        request.route = route.rule
        with request_deadline(request.seconds(route.timeout)):
            response: Response = getattr(g_server, route.endpoint)(request, **path_params)
        return response
    except MethodNotAllowed as error:
        return allow(request, error)
    except (Exception, SystemExit, Timeout) as error:  # gevent's Timeout is no Exception
        return g_server.error_response(request, error)


def allow(request: Request, error: MethodNotAllowed) -> Response:
    """Answer OPTIONS, refuse other methods that the path lacks (RFC 9110, 9.3.7 and 15.5.6)."""
    error.valid_methods = sorted({*(error.valid_methods or ()), "OPTIONS"})
    if request.method != "OPTIONS":
        return g_server.error_response(request, error)
    response = Envelope(request.uuid, request.echo)
    response.headers["Allow"] = ", ".join(error.valid_methods)
    return response


def log_request(request: Request, response: Response, milliseconds: float) -> None:
    """Log one line: method, route, status, err_code, milliseconds, and err_msg of a refusal."""
    fields = {
        "method": request.method,
        "route": request.route[:256],
        "status": response.status_code,
        "err_code": getattr(response, "err_code", "-"),
        "ms": round(milliseconds, 3),
    }
    if fields["err_code"]:
        fields["err_msg"] = getattr(response, "err_msg", "-")
    logger.info("%s", " ".join(map(str, fields.values())), extra={"fields": fields})
