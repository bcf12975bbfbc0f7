"""The service's routes, a method each."""

from api import ChangeOrder, CreateOrder, DeleteOrder, ListOrders, ShowOrder, TestApi
from decorator import expose
from utils.web import Request, Response, Service


class Server(Service):
    """The table of routes."""

    @expose("/test", methods=["POST"])
    def api_test(self, request: Request) -> Response:
        return self.respond(TestApi, request)

    # The example over MySQL and Redis begins here.

    @expose("/orders", methods=["POST"])
    def create_order(self, request: Request) -> Response:
        return self.created(CreateOrder, request, "/orders/{order_id}")

    @expose("/orders", methods=["GET"])
    def list_orders(self, request: Request) -> Response:
        return self.respond(ListOrders, request)

    @expose("/orders/<int:order_id>", methods=["GET"])
    def show_order(self, request: Request, order_id: int) -> Response:
        return self.respond(ShowOrder, request, order_id=order_id)

    @expose("/orders/<int:order_id>", methods=["PUT"])
    def change_order(self, request: Request, order_id: int) -> Response:
        return self.respond(ChangeOrder, request, order_id=order_id)

    @expose("/orders/<int:order_id>", methods=["DELETE"])
    def delete_order(self, request: Request, order_id: int) -> Response:
        return self.respond(DeleteOrder, request, order_id=order_id)


g_server = Server()
