"""The business: one class for each kind of request, whose `process()` answers it."""

import random
import time
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from utils.cache import cached
from utils.errors import ConflictError, NotFoundError
from utils.mysql import mysql
from utils.web import Api


class TestResult(Struct):
    """What `/test` answers."""

    timestamp: int
    result: int


class TestApi(Api):
    """Answer an order with a random result, without any database."""

    echoed: ClassVar[tuple[str, ...]] = ("order_id",)

    order_id: Annotated[int, Meta(ge=1)]

    def process(self) -> TestResult:
        """Return the time in seconds since 1970, and -1, 0 or 1."""
        return TestResult(timestamp=int(time.time()), result=random.choice((-1, 0, 1)))


# The example over MySQL and Redis begins here.

OrderId = Annotated[int, Meta(ge=1)]
Item = Annotated[str, Meta(min_length=1, max_length=100)]
Quantity = Annotated[int, Meta(ge=1, le=1_000_000)]


class Order(Struct):
    """A row of the table; each change adds one to its version."""

    order_id: int
    item: str
    quantity: int
    version: int = 1


class Orders(Struct):
    """A page of orders; `after` is where the next one begins, None on the last."""

    orders: list[Order]
    after: int | None


@cached("order:{order_id}", ttl=60)
def load_order(order_id: int) -> Order | None:
    """Return the order, or None."""
    return mysql.row("SELECT * FROM orders WHERE order_id = %s", order_id, into=Order)


class CreateOrder(Api):
    """Create an order."""

    item: Item
    quantity: Quantity = 1

    def process(self) -> Order:
        """Return the order with its new id."""
        insert = "INSERT INTO orders (item, quantity) VALUES (%s, %s)"
        order_id = mysql.execute(insert, self.item, self.quantity).lastrowid
        load_order.invalidate(order_id)  # that it did not exist may be cached
        return Order(order_id, self.item, self.quantity)


class ShowOrder(Api):
    """Show an order."""

    order_id: OrderId

    def process(self) -> Order:
        """Return the order, or raise NotFoundError."""
        if order := load_order(self.order_id):
            return order
        raise NotFoundError(f"no order {self.order_id}")


class ListOrders(Api):
    """List orders by their ids, beginning behind `after`."""

    after: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 20

    def process(self) -> Orders:
        """Return at most `limit` orders; one more is read, to see if there is a next page."""
        select = "SELECT * FROM orders WHERE order_id > %s ORDER BY order_id LIMIT %s"
        found = mysql.rows(select, self.after, self.limit + 1, into=Order)
        page = found[: self.limit]
        return Orders(page, page[-1].order_id if len(found) > self.limit else None)


class ChangeOrder(Api):
    """Change an order, if it still has the version that the caller has seen."""

    order_id: OrderId
    version: Annotated[int, Meta(ge=1)]
    item: Item
    quantity: Quantity

    def process(self) -> Order:
        """Return the changed order, or raise ConflictError."""
        update = (
            "UPDATE orders SET item = %s, quantity = %s, version = version + 1"
            " WHERE order_id = %s AND version = %s"
        )
        with load_order.invalidating(self.order_id):
            result = mysql.execute(update, self.item, self.quantity, self.order_id, self.version)
        if result.rowcount == 0:
            order = ShowOrder(order_id=self.order_id).process()
            raise ConflictError(f"order {self.order_id} is at version {order.version}")
        return Order(self.order_id, self.item, self.quantity, self.version + 1)


class DeleteOrder(Api):
    """Delete an order."""

    order_id: OrderId

    def process(self) -> None:
        """Delete it, or raise NotFoundError."""
        with load_order.invalidating(self.order_id):
            result = mysql.execute("DELETE FROM orders WHERE order_id = %s", self.order_id)
        if result.rowcount == 0:
            raise NotFoundError(f"no order {self.order_id}")
