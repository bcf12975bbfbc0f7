"""The base of the api classes: what may stand in an annotation, and how a fault is named."""

import ast
import json
import time
from typing import Annotated, Any, ClassVar

import pytest
from msgspec import Meta, Struct

from api import TestApi
from tests.support.service import ROOT
from utils.codec import encode
from utils.errors import MalformedError, ParameterError
from utils.web.api import Api
from utils.web.fields import decoder_of


class Line(Struct):
    """A line of an order."""

    price: float
    count: Annotated[int, Meta(ge=1)] = 1


class Order(Api):
    """An order with everything an order may have."""

    echoed: ClassVar[tuple[str, ...]] = ("order_id", "buyer")

    order_id: Annotated[int, Meta(ge=1)]
    buyer: Annotated[str, Meta(max_length=5)] = "none"
    lines: list[Line] = []
    notes: dict[str, int] = {}

    def __post_init__(self) -> None:
        if self.notes.get("sum", self.order_id) != self.order_id:
            raise ValueError(f"the sum is not {self.order_id}")


def test_an_api_is_built_and_run_by_name_without_a_request() -> None:
    before = int(time.time())
    result = TestApi(order_id=7).process()
    assert before <= result.timestamp <= time.time()
    assert result.result in (-1, 0, 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "order_id: missing"),
        ({"order_id": 0}, "order_id: expected int >= 1"),
        ({"order_id": "x"}, "order_id: expected int, got str"),
        ({"order_id": None}, "order_id: expected int, got null"),
        ({"order_id": 1 << 64}, "order_id: the integer does not fit in 64 bits"),
        ({"order_id": 1, "buyer": "123456"}, "buyer: expected str of length <= 5"),
        ({"order_id": 1, "lines": [Line(price=1, count=0)]}, "lines[0].count: expected int >= 1"),
        ({"order_id": 1, "lines": [{"count": 1}]}, "lines[0].price: missing"),
        ({"order_id": 2, "notes": {"sum": 3}}, "the sum is not 2"),
    ],
)
def test_an_api_that_is_built_by_name_is_checked_as_one_from_the_wire(
    fields: Any, message: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        Order(**fields)
    assert str(caught.value).startswith(message)


def test_an_api_that_is_built_by_name_has_what_it_was_given() -> None:
    given: dict[str, Any] = {"order_id": 7, "buyer": "me", "lines": [Line(0.1)], "notes": {"a": 1}}
    order = Order(**given)
    assert {name: getattr(order, name) for name in given} == given
    assert (Order(7).buyer, Order(order_id=7).lines) == ("none", [])
    assert (type(order), order) == (Order, Order(**given))


def test_a_name_that_is_no_field_is_a_mistake_in_the_code() -> None:
    with pytest.raises(TypeError, match="order_ip"):
        Order(order_ip=7)  # type: ignore[call-arg]


def test_a_check_of_the_whole_request_has_a_message_of_its_own() -> None:
    with pytest.raises(ParameterError) as caught:
        decoder_of(Order).decode(b'{"order_id":1,"notes":{"sum":2}}', {})
    assert str(caught.value) == "the sum is not 1"


def test_a_check_of_the_whole_request_is_made_once_and_sees_all_fields() -> None:
    checked: list[int] = []

    class Checked(Api):
        order_id: int

        def __post_init__(self) -> None:
            checked.append(self.order_id)

    decoder_of(Checked).decode(b'{"order_id":1}', {"order_id": 2})
    decoder_of(Checked).decode({"order_id": ["3"]}, {})
    Checked(order_id=4)
    assert checked == [2, 3, 4]


def test_the_api_classes_import_nothing_of_http() -> None:
    imports = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse((ROOT / "api.py").read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert {name for module, name in imports if module == "utils.web"} == {"Api"}
    assert not {"werkzeug", "gunicorn", "decorator", "server", "app"} & {m for m, _ in imports}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "order_id: missing"),
        (b'{"order_id":1,"buyer":5}', "buyer: expected str, got int"),
        (b'{"order_id":1,"buyer":"123456"}', "buyer: expected str of length <= 5"),
        (b'{"order_id":1,"lines":[{"count":1}]}', "lines[0].price: missing"),
        (b'{"order_id":1,"lines":[{"price":"nan"}]}', "lines[0].price: the number is not finite"),
        (b'{"order_id":1,"lines":[{"price":1,"count":' + b"9" * 30 + b"}]}", "lines[0].count: the"),
        (b'{"order_id":1,"notes":{"a":' + b"9" * 30 + b"}}", "notes['a']: the integer"),
    ],
)
def test_a_refusal_names_the_field_and_its_fault(body: bytes, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        decoder_of(Order).decode(body, {})
    assert str(caught.value).startswith(message)


def test_values_in_the_path_stand_above_the_body() -> None:
    decode = decoder_of(Order).decode
    assert decode(b'{"order_id":1,"buyer":"me"}', {"order_id": 2}).order_id == 2
    assert decode({"buyer": ["me"]}, {"order_id": 2}).buyer == "me"
    with pytest.raises(MalformedError):
        decode(b"[]", {"order_id": 2})


@pytest.mark.parametrize(
    ("fields", "echoed"),
    [
        (b'{"order_id":1,"buyer":5}', {"order_id": 1}),
        (b'{"order_id":"x","buyer":"me"}', {"buyer": "me"}),
        (b'{"order_id":' + b"9" * 30 + b"}", {}),
        ({"order_id": ["3"]}, {"order_id": 3}),
        (b"[]", {}),
        (b"{", {}),
        (b"[" * 100_000, {}),
        (b'{"order_id":1,"x":"\xff"}', {}),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_refusal_echoes_the_fields_that_can_be_read(fields: Any, echoed: dict[str, Any]) -> None:
    readable = decoder_of(Order).readable_echo(fields, {})
    assert json.loads(encode(readable)) == echoed
