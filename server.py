"""The service's routes, a method each."""

from typing import Any

from werkzeug import Response

from api import TestApi
from decorator import expose
from utils.api import Api, echo, parse
from utils.envelope import Envelope
from utils.errors import FOREIGN, ServiceError, as_service_error
from utils.log import logger
from utils.request import Request


class Server:
    """The table of routes; `respond` and `refuse` turn what an api class does into answers."""

    @expose("/test", methods=["POST"])
    def api_test(self, request: Request) -> Response:
        """Answer an order."""
        return self.respond(TestApi, request)

    def respond(self, api: type[Api], request: Request, **values: Any) -> Response:
        """Build the api class from the request and the path's values, and answer with it."""
        fields: bytes | dict[str, str] = b""
        try:
            fields = request.fields()
            call = parse(api, fields, values)
            request.echo = {name: getattr(call, name) for name in api.echoed}
            return Envelope(request.uuid, request.echo, call.process())
        except ServiceError as error:
            request.echo = request.echo or echo(api, fields, values)
            return self.refuse(request, error)

    def refuse(self, request: Request, error: BaseException) -> Response:
        """Answer with the envelope of an error; only the log learns of an unforeseen one."""
        refusal = as_service_error(error)
        if refusal.err_code == ServiceError.err_code:
            logger.error("unforeseen error", exc_info=error)
        elif type(error) in FOREIGN:
            logger.warning("%s: %s", type(error).__name__, error)
        return Envelope(request.uuid, request.echo, error=refusal)


g_server = Server()
