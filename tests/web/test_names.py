"""A field may have another name in JSON: clients see that one, Python code and paths never do."""

from typing import Annotated, Any, ClassVar

import pytest
from msgspec import UNSET, Meta, Struct, UnsetType, field

from tests.support.apis import respond
from utils.errors import ParameterError, ProcessError
from utils.web import Api


class OrderLine(Struct, rename="camel"):
    """A Struct with names of its own."""

    unit_price: Annotated[float, Meta(ge=0)]


class ChangeOrder(Api, rename="camel", forbid_unknown_fields=True):
    """A request whose fields all have other names in JSON."""

    echoed: ClassVar[tuple[str, ...]] = ("order_id", "sent_by")

    order_id: Annotated[int, Meta(ge=1)]
    sent_by: str | UnsetType = field(name="from", default=UNSET)
    order_lines: list[OrderLine] = []
    tag_names: list[str] = []

    def process(self) -> Any:
        if self.sent_by == "nobody":
            raise ProcessError("who?")
        return self


KEYS = ["uuid", "err_msg", "err_code", "data"]
BODY = b'{"orderId":7,"from":"me","orderLines":[{"unitPrice":1.5}]}'
SEEN = {"orderId": 7, "from": "me", "orderLines": [{"unitPrice": 1.5}], "tagNames": []}


def test_a_body_and_its_answer_have_the_names_of_json() -> None:
    status, answer = respond(ChangeOrder, body=BODY)
    assert list(answer) == ["orderId", "from", *KEYS]
    assert (status, answer["orderId"], answer["from"], answer["data"]) == (200, 7, "me", SEEN)


def test_a_query_has_the_names_of_json() -> None:
    status, answer = respond(ChangeOrder, "GET", query="orderId=7&tagNames=a&tagNames=b&from=me")
    assert (status, answer["data"]["tagNames"], answer["from"]) == (200, ["a", "b"], "me")
    refused = respond(ChangeOrder, "GET", query="orderId=7&from=me&from=you")[1]
    assert refused["err_msg"] == "from: given 2 times, expected one value"
    assert refused["orderId"] == 7


def test_a_value_in_the_path_has_its_python_name_and_replaces_the_one_of_json() -> None:
    for body in (b'{"from":"me"}', b'{"orderId":"?","from":"me"}'):
        answer = respond(ChangeOrder, body=body, order_id=8)[1]
        assert (answer["orderId"], answer["from"], answer["err_code"]) == (8, "me", 0)
    answer = respond(ChangeOrder, "GET", query="orderId=1&orderId=2", order_id=8)[1]
    assert (answer["orderId"], answer["err_code"]) == (8, 0)


def test_a_field_that_was_not_sent_is_not_echoed_if_it_is_unset() -> None:
    answer = respond(ChangeOrder, body=b'{"orderId":7}')[1]
    assert list(answer) == ["orderId", *KEYS]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "orderId: missing"),
        (b'{"order_id":7}', "order_id: unknown field"),
        (b'{"orderId":0}', "orderId: expected int >= 1"),
        (b'{"orderId":7,"from":1}', "from: expected str, got int"),
        (b'{"orderId":7,"orderLines":[{}]}', "orderLines[0].unitPrice: missing"),
        (
            b'{"orderId":7,"orderLines":[{"unitPrice":-1}]}',
            "orderLines[0].unitPrice: expected float",
        ),
        (
            b'{"orderId":7,"orderLines":[{"unitPrice":"inf"}]}',
            "orderLines[0].unitPrice: the number",
        ),
        (b'{"orderId":%s}' % (b"9" * 30), "orderId: the integer does not fit in 64 bits"),
    ],
)
def test_a_refusal_names_the_field_as_json_does(body: bytes, message: str) -> None:
    status, answer = respond(ChangeOrder, body=body)
    assert (status, answer["err_code"]) == (400, -4)
    assert answer["err_msg"].startswith(message)


@pytest.mark.parametrize(
    ("body", "params", "echoed"),
    [
        (b'{"orderId":7,"from":1}', {}, {"orderId": 7}),
        (b'{"orderId":0,"from":"me"}', {}, {"from": "me"}),
        (b'{"orderId":7,"from":"nobody"}', {}, {"orderId": 7, "from": "nobody"}),
        (b'{"from":1}', {"order_id": 8}, {"orderId": 8}),
        (b'{"from":"me"}', {"order_id": 0}, {"from": "me"}),
    ],
)
def test_a_refusal_echoes_the_names_of_json(body: bytes, params: Any, echoed: Any) -> None:
    status, answer = respond(ChangeOrder, body=body, **params)
    assert status in (400, 422)
    assert {name: answer[name] for name in answer if name not in KEYS} == echoed


def test_an_api_is_built_by_its_python_names_and_refused_by_those_of_json() -> None:
    order = ChangeOrder(order_id=7, sent_by="me", order_lines=[OrderLine(1.5)])
    assert (order.order_id, order.sent_by, order.order_lines) == (7, "me", [OrderLine(1.5)])
    with pytest.raises(ParameterError) as caught:
        ChangeOrder(order_id=7, order_lines=[OrderLine(-1)])
    assert str(caught.value).startswith("orderLines[0].unitPrice: expected float >= 0")
