"""The service's routes, a method each."""

from http import HTTPStatus
from typing import Any

import msgspec

from api import ChangeOrder, CreateOrder, DeleteOrder, ListOrders, ShowOrder, TestApi
from decorator import expose, url_map
from utils.errors import ServiceError, as_service_error
from utils.log import logger
from utils.web import Api, Envelope, Request, Response
from utils.web.api import echo, parse


class Server:
    """The table of routes; `respond` and `refuse` turn what an api class does into answers."""

    @expose("/test", methods=["POST"])
    def api_test(self, request: Request) -> Response:
        """Answer an order."""
        return self.respond(TestApi, request)

    @expose("/orders", methods=["POST"])
    def create_order(self, request: Request) -> Response:
        """Take an order."""
        return self.create(CreateOrder, request, "show_order")

    @expose("/orders", methods=["GET"])
    def list_orders(self, request: Request) -> Response:
        """List orders."""
        return self.respond(ListOrders, request)

    @expose("/orders/<int:order_id>", methods=["GET"])
    def show_order(self, request: Request, order_id: int) -> Response:
        """Show an order."""
        return self.respond(ShowOrder, request, order_id=order_id)

    @expose("/orders/<int:order_id>", methods=["PUT"])
    def change_order(self, request: Request, order_id: int) -> Response:
        """Change an order."""
        return self.respond(ChangeOrder, request, order_id=order_id)

    @expose("/orders/<int:order_id>", methods=["DELETE"])
    def delete_order(self, request: Request, order_id: int) -> Response:
        """Delete an order."""
        return self.respond(DeleteOrder, request, order_id=order_id)

    def respond(self, api: type[Api], request: Request, **values: Any) -> Envelope:
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

    def create(self, api: type[Api], request: Request, shown_by: str, **values: Any) -> Response:
        """Answer as `respond` does; what was created gets 201 and the URL of its own route."""
        response = self.respond(api, request, **values)
        if response.status_code == HTTPStatus.OK:
            response.status_code = HTTPStatus.CREATED
            fields = msgspec.to_builtins(response.result)
            response.location = url_map.bind("").build(shown_by, fields, append_unknown=False)
        return response

    def refuse(self, request: Request, error: BaseException) -> Envelope:
        """Answer with the envelope of an error; only the log learns of an unforeseen one."""
        refusal = as_service_error(error)
        if refusal.err_code == ServiceError.err_code:
            logger.error("unforeseen error", exc_info=error)
        return Envelope(request.uuid, request.echo, error=refusal)


g_server = Server()
