"""Api classes of one field, and what becomes of their requests."""

import json
from typing import Any

from msgspec import NODEFAULT, Raw, field
from werkzeug.routing import Map, Rule
from werkzeug.test import EnvironBuilder

from utils.errors import ServiceError
from utils.web import Api, Request, Service
from utils.web.fields import decoder_of


def api_of(annotation: Any, default: Any = NODEFAULT, **options: Any) -> type[Api]:
    """Make an api class whose field `value` has this annotation, beside a `user_id`."""

    class Made(Api, kw_only=True, **options):
        value: annotation = field(default=default)
        user_id: int = 0

        def process(self) -> Any:
            return self.value

    return Made


def read(api: type[Api], sent: Any, **path_params: Any) -> Any:
    """Return the field `value` of a body or a query; of a refused one the message."""
    try:
        value = decoder_of(api).decode(sent, path_params).value
    except ServiceError as error:
        return str(error)
    return bytes(value) if isinstance(value, Raw) else value


def path_params(rule: str, path: str) -> dict[str, Any]:
    """Return what werkzeug reads in a path."""
    _, values = Map([Rule(rule, endpoint="x")]).bind("").match(path)
    return dict(values)


def respond(
    api: type[Api], method: str = "POST", body: bytes = b"{}", query: str = "", **params: Any
) -> tuple[int, dict[str, Any]]:
    """Return the status and the envelope of a request."""
    environ = EnvironBuilder(method=method, data=body, query_string=query).get_environ()
    response = Service().respond(api, Request(environ), **params)
    return response.status_code, json.loads(response.data)
