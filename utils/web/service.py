"""The base of `Server`: an api class becomes a response, an error its envelope."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec

from utils.errors import ServiceError, as_service_error
from utils.log import logger
from utils.web.api import Api, echo, parse
from utils.web.envelope import Envelope
from utils.web.request import Request


class Service:
    """What the methods of `Server` call."""

    def respond(self, api: type[Api], request: Request, **path_params: Any) -> Envelope:
        """Build the api class from the request, and respond with what `process()` returns.

        GET, HEAD and DELETE have their fields in the query, other methods in the JSON body;
        `path_params`, by the names of the api class, stand above both.
        """
        fields: bytes | dict[str, str] = b""
        try:
            fields = request.fields()
            instance = parse(api, fields, path_params)
            request.echo = {name: getattr(instance, name) for name in api.echoed}
            return Envelope(request.uuid, request.echo, instance.process())
        except ServiceError as error:
            request.echo = request.echo or echo(api, fields, path_params)
            return self.error_response(request, error)

    def created(
        self, api: type[Api], request: Request, location: str, **path_params: Any
    ) -> Envelope:
        """Respond as `respond` does, but with 201 and the URL path of what was created.

        `location` is a template of that path such as "/orders/{order_id}"; its values are fields
        of what `process()` returned, by their Python names, or path parameters.
        """
        response = self.respond(api, request, **path_params)
        if response.err_code == 0:
            response.status_code = HTTPStatus.CREATED
            try:
                response.location = fill_location(location, response.result, path_params)
            except Exception as error:  # it is created already: a 500 would have it sent again
                logger.error("%s answers without Location %s: %r", api.__name__, location, error)
        return response

    def error_response(self, request: Request, error: BaseException) -> Envelope:
        """Respond with the envelope of an error; an unexpected one is logged with its traceback."""
        service_error = as_service_error(error)
        if service_error.err_code == ServiceError.err_code:
            logger.error("unexpected error", exc_info=error)
        return Envelope(request.uuid, request.echo, error=service_error)


def fill_location(template: str, result: Any, path_params: Mapping[str, Any]) -> str:
    """Return the template with its values, each percent-encoded as one segment of a path.

    Raises KeyError if neither the result nor the path has such a value.
    """

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
