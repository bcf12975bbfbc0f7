"""What `Service` makes of an api class: above all, a write that is done is never a 500."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import pytest
from msgspec import Struct
from werkzeug.test import EnvironBuilder

from utils.web import Api, Request, Service


class Receipt(Struct, rename="camel"):
    """What was created, under names that JSON does not share."""

    order_id: Any
    shop: str = "a b/ü"


@dataclass
class Note:
    """What was created, as a dataclass."""

    order_id: int


class Pair(NamedTuple):
    """What was created, as a tuple."""

    order_id: int


def create(result: Any, location: str, **path_params: Any) -> Any:
    """Respond to the creation of a result."""

    class Create(Api):
        def process(self) -> Any:
            return result

    request = Request(EnvironBuilder(method="POST", data=b"{}").get_environ())
    return Service().created(Create, request, location, **path_params)


@pytest.mark.parametrize(
    ("result", "template", "location"),
    [
        (Receipt(7), "/orders/{order_id}", "/orders/7"),
        (Receipt(7), "/{shop}/orders/{order_id}", "/a%20b%2F%C3%BC/orders/7"),
        (Receipt("a?b#c\r\n"), "/orders/{order_id}", "/orders/a%3Fb%23c%0D%0A"),
        ({"id": 0}, "/orders/{id}", "/orders/0"),
        (Note(7), "/orders/{order_id}", "/orders/7"),
        (Pair(7), "/orders/{order_id}", "/orders/7"),
        (None, "/orders", "/orders"),
    ],
)
def test_what_was_created_is_a_201_with_its_location(
    result: Any, template: str, location: str
) -> None:
    response = create(result, template)
    assert (response.status_code, response.err_code) == (201, 0)
    assert response.headers["Location"] == location


def test_a_location_may_name_values_of_the_path() -> None:
    response = create(Receipt(7), "/users/{user_id}/orders/{order_id}", user_id=3)
    assert response.headers["Location"] == "/users/3/orders/7"


@pytest.mark.parametrize(
    ("result", "template"),
    [
        (Receipt(7), "/orders/{id}"),
        (Receipt(None), "/orders/{order_id}"),
        (Receipt(""), "/orders/{order_id}"),
        ({}, "/orders/{id}"),
        ([1], "/orders/{id}"),
        (None, "/orders/{id}"),
        (7, "/orders/{to_bytes}"),
        ({"id": 1}, "//[orders/{id}"),
    ],
)
def test_a_write_whose_location_is_unknown_is_a_201_and_a_line_in_the_log(
    result: Any, template: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = create(result, template)
    assert (response.status_code, response.err_code) == (201, 0)
    assert "Location" not in response.headers
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "Create answers without Location" in record.getMessage()


class Line:
    """What msgspec does not encode."""


UNENCODABLE = [Line(), [Line()], ValueError("x"), "\ud800", {Line(): 1}, (line for line in "ab")]


def run(result: Any, method: str = "POST", sent: list[Any] | None = None) -> Any:
    """Respond to a request whose `process()` did its work, added to a field, and returned this."""

    class Write(Api):
        echoed: ClassVar[tuple[str, ...]] = ("order_ids",)

        order_ids: list[Any]

        def process(self) -> Any:
            self.order_ids += sent or []
            return result

    body = b'{"order_ids":["7"]}' if method == "POST" else b""
    environ = EnvironBuilder(method=method, data=body, query_string="order_ids=7").get_environ()
    return Service().respond(Write, Request(environ))


@pytest.mark.parametrize("result", UNENCODABLE, ids=lambda value: repr(value)[:20])
def test_a_write_whose_result_json_cannot_hold_is_answered_without_it(
    result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    response = run(result)
    answer = json.loads(response.data)
    assert (response.status_code, answer["err_code"]) == (200, 0)
    assert (answer["order_ids"], answer["data"]) == (["7"], None)
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.exc_info


def test_a_created_row_whose_result_json_cannot_hold_has_its_location() -> None:
    response = create({"id": 7, "line": Line()}, "/orders/{id}")
    assert (response.status_code, json.loads(response.data)["data"]) == (201, None)
    assert response.headers["Location"] == "/orders/7"


def test_a_get_whose_result_json_cannot_hold_fails() -> None:
    with pytest.raises(TypeError):
        run(Line(), "GET")


def test_the_echo_is_what_was_sent_whatever_process_does_to_a_field() -> None:
    assert json.loads(run("done", sent=[Line()]).data)["order_ids"] == ["7"]


def test_a_value_in_the_path_may_have_any_name() -> None:
    class Show(Api):
        api: int
        request: int

        def process(self) -> Any:
            return [self.api, self.request]

    request = Request(EnvironBuilder(method="GET").get_environ())
    values: dict[str, Any] = {"api": 1, "request": 2}
    assert json.loads(Service().respond(Show, request, **values).data)["data"] == [1, 2]
