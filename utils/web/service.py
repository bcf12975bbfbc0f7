"""The base of `Server`: what an api class returns, and an error, become an envelope."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
from werkzeug import Response
from werkzeug.urls import iri_to_uri

from utils.codec import encode
from utils.errors import ServiceError, as_service_error, clip
from utils.log import logger
from utils.web.api import Api
from utils.web.fields import Query, decoder_of
from utils.web.request import Request

HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
MESSAGE = 200  # characters; what an error says may hold what a client sent


class Envelope(Response):
    """A JSON response: echoed fields, uuid, err_msg, err_code and data, in this order."""

    default_mimetype = "application/json"
    err_code, err_msg, detail = 0, "ok", ""

    def __init__(
        self, uuid: str, echo: dict[str, Any], data: Any = None, error: ServiceError | None = None
    ) -> None:
        self.result = data
        status, headers = 200, HEADERS
        if error:
            self.err_code, status = error.err_code, error.status
            self.err_msg, self.detail = clip(str(error), MESSAGE), clip(error.detail, MESSAGE)
            headers = HEADERS | error.headers
        envelope = {
            **echo,
            "uuid": uuid,
            "err_msg": self.err_msg,
            "err_code": self.err_code,
            "data": data,
        }
        super().__init__(encode(envelope), status, headers)


class Service:
    """What the methods of `Server` call, and what is done to every response."""

    def after_request(self, request: Request, response: Response) -> None:
        """Set the headers of every response; `Server` may override it, and calls this one too."""
        response.headers["X-Request-ID"] = request.uuid

    def respond(self, api: type[Api], request: Request, /, **path_params: Any) -> Envelope:
        """Build the api class from the request, and respond with what `process()` returns.

        GET, HEAD and DELETE have their fields in the query, other methods in the JSON body;
        `path_params`, by the names of the api class, replace either's; they are of types that
        msgspec encodes. If JSON cannot hold the result of a write, `data` is null, and the log
        says why: after a 500 the caller would send the write again.
        """
        decoder = decoder_of(api)
        sent: bytes | Query = {}
        try:
            sent = request.fields()
            instance = decoder.decode(sent, path_params, request.max_values)
            request.echo = decoder.echo(instance)
            result = instance.process()
        except ServiceError as error:
            request.echo = request.echo or decoder.readable_echo(sent, path_params)
            return self.error_response(request, error)
        return self.done(request, result)

    def created(
        self, api: type[Api], request: Request, /, location: str, **path_params: Any
    ) -> Envelope:
        """Respond as `respond` does, but with 201 and the URL path of what was created.

        `location` is a template of that path such as "/orders/{order_id}"; its values are fields
        of what `process()` returned, by their Python names, or path parameters.
        """
        response = self.respond(api, request, **path_params)
        if response.err_code:
            return response
        response.status_code = HTTPStatus.CREATED
        try:
            # Werkzeug's own iri_to_uri comes when it sends, outside of this try.
            response.location = iri_to_uri(fill_location(location, response.result, path_params))
        except Exception as error:  # it is created already: a 500 would have it sent again
            logger.error("%s answers without Location %s: %r", api.__name__, location, error)
        return response

    def done(self, request: Request, result: Any) -> Envelope:
        """Respond with a result; with none if JSON cannot hold it, unless nothing was written."""
        try:
            return Envelope(request.uuid, request.echo, result)
        except Exception:
            if request.method in ("GET", "HEAD"):
                raise
            logger.exception("answered without data: the result cannot be encoded")
            response = Envelope(request.uuid, request.echo)
            response.result = result
            return response

    def error_response(self, request: Request, error: BaseException) -> Envelope:
        """Respond with the envelope of an error; an unexpected one is logged with its traceback."""
        service_error = as_service_error(error)
        if service_error.err_code == ServiceError.err_code:
            logger.error("unexpected error", exc_info=error)
        return Envelope(request.uuid, request.echo, error=service_error)


def fill_location(template: str, result: Any, path_params: Mapping[str, Any]) -> str:
    """Return the template with its values, each quoted as a segment; KeyError for unknown ones."""

    def segment(name: re.Match[str]) -> str:
        value = path_params.get(name[1])
        if isinstance(result, Mapping):
            value = result.get(name[1], value)
        else:
            value = getattr(result, name[1], value)
        if value in (None, ""):
            raise KeyError(name[1])
        return quote(str(msgspec.to_builtins(value)), safe="")

    return re.sub(r"{(\w+)}", segment, template)
