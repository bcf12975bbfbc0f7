"""The base of the api classes: what may stand in an annotation, and how a fault is named."""

import ast
import time
from typing import Annotated, Any, ClassVar

import pytest
from msgspec import Meta, Struct

from api import TestApi
from tests.support.service import ROOT
from utils.errors import MalformedError, ParameterError
from utils.web.api import Api, echo, parse


class Line(Struct):
    """A line of an order."""

    price: float
    count: int = 1


class Order(Api):
    """An order with everything an order may have."""

    echoed: ClassVar[tuple[str, ...]] = ("order_id", "buyer")

    order_id: Annotated[int, Meta(ge=1)]
    buyer: Annotated[str, Meta(max_length=5)] = "none"
    lines: list[Line] = []
    notes: dict[str, int] = {}


def test_an_api_is_built_and_run_by_name_without_a_request() -> None:
    before = int(time.time())
    result = TestApi(order_id=7).process()
    assert before <= result.timestamp <= time.time()
    assert result.result in (-1, 0, 1)


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
        parse(Order, body, {})
    assert str(caught.value).startswith(message)


def test_values_in_the_path_stand_above_the_body() -> None:
    assert parse(Order, b'{"order_id":1,"buyer":"me"}', {"order_id": 2}).order_id == 2
    assert parse(Order, {"buyer": "me"}, {"order_id": 2}).buyer == "me"
    with pytest.raises(MalformedError):
        parse(Order, b"[]", {"order_id": 2})


@pytest.mark.parametrize(
    ("fields", "echoed"),
    [
        (b'{"order_id":1,"buyer":5}', {"order_id": 1}),
        (b'{"order_id":"x","buyer":"me"}', {"buyer": "me"}),
        (b'{"order_id":' + b"9" * 30 + b"}", {}),
        ({"order_id": "3"}, {"order_id": 3}),
        (b"[]", {}),
        (b"{", {}),
        (b"[" * 100_000, {}),
        (b'{"order_id":1,"x":"\xff"}', {}),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_refusal_echoes_the_fields_that_can_be_read(fields: Any, echoed: dict[str, Any]) -> None:
    assert echo(Order, fields, {}) == echoed
