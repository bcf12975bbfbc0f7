"""Queries: the annotation says how many values a name has, and what they are."""

import datetime
import enum
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from msgspec import Meta, Raw, Struct, UnsetType

from tests.support.apis import api_of, respond
from utils.web import Api


class Color(enum.Enum):
    """Text with few values."""

    RED = "red"


class Pair(NamedTuple):
    """An array with names."""

    x: int
    y: str


class Row(Struct, array_like=True):
    """A Struct that is an array in JSON."""

    x: int


Described = Annotated[list[int], Meta(description="some", extra={"a": 1})]
ID = "c3b1a5b4-3f6b-4b9e-8d6e-0e3c2ad2a1f7"


def query(annotation: Any, text: str, **default: Any) -> Any:
    """Return the value that a GET reads, as JSON; or why it is refused."""
    status, envelope = respond(api_of(annotation, **default), "GET", query=text)
    assert (status, envelope["err_code"]) in ((200, 0), (400, -4))
    return envelope["data"] if status == 200 else envelope["err_msg"]


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (list[int], "value=1&value=2", [1, 2]),
        (list[int], "value=1", [1]),
        (list[int], "value=1&value=x", "value[1]: expected int, got str"),
        (list[int], "value=", "value[0]: expected int, got str"),
        (list[str], "value=", [""]),
        (list[str], "value=1,2", ["1,2"]),
        (list[int], "", "value: missing"),
        (set[int], "value=1&value=1", [1]),
        (frozenset[Decimal], "value=0.10", ["0.10"]),
        (tuple[int, ...], "value=1&value=2", [1, 2]),
        (tuple[int, str], "value=1&value=2", [1, "2"]),
        (tuple[int, str], "value=1", "value: expected array of length 2"),
        (Sequence[int], "value=1", [1]),
        (Pair, "value=1&value=2", [1, "2"]),
        (Row, "value=1", [1]),
        (list[int] | None, "value=1&value=2", [1, 2]),
        (list[int] | None, "value=1", [1]),
        (list[int] | UnsetType, "value=1", [1]),
        (list[int] | int, "value=1", [1]),
        (Described, "value=1", [1]),
        (Described | None, "value=1&value=2", [1, 2]),
        (Annotated[list[int], Meta(max_length=1)], "value=1&value=2", "value: expected array of"),
        (list, "value=1&value=x", ["1", "x"]),
        (list[Color], "value=red", ["red"]),
        (list[uuid.UUID], f"value={ID}", [ID]),
    ],
    ids=str,
)
def test_an_array_takes_all_values(annotation: Any, text: str, value: Any) -> None:
    got = query(annotation, text)
    assert got == value or (isinstance(value, str) and got.startswith(value))


def test_an_array_that_is_not_given_is_its_default() -> None:
    assert query(list[int], "", default=[]) == []
    assert query(list[int] | None, "", default=None) is None
    assert query(list[int], "value=1", default=[]) == [1]


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "7", 7),
        (int | None, "null", None),
        (float, "1.5", 1.5),
        (Decimal, "0.10", "0.10"),
        (bool, "true", True),
        (bool, "0", False),
        (str, "7", "7"),
        (str, "", ""),
        (str, "%22%7D%5C%C3%A4%26+", '"}\\ä& '),
        (bytes, "AAE%3D", "AAE="),
        (datetime.datetime, "2026-01-02T12:00:00Z", "2026-01-02T12:00:00Z"),
        (datetime.date, "2026-01-02", "2026-01-02"),
        (uuid.UUID, ID, ID),
        (Color, "red", "red"),
        (Literal["a", 1], "1", 1),
        (Raw, "0.10", "0.10"),
        (Any, "7", "7"),
        (int | UnsetType, "7", 7),
        (Annotated[int, Meta(ge=1, description="some")], "7", 7),
    ],
    ids=str,
)
def test_a_scalar_has_one_value(annotation: Any, text: str, value: Any) -> None:
    assert query(annotation, f"value={text}") == value
    for twice in (f"value={text}&value={text}", f"value={text}&user_id=1&value="):
        assert query(annotation, twice) == "value: given 2 times, expected one value"


@pytest.mark.parametrize("annotation", [dict[str, int], Api])
def test_an_object_is_refused_in_a_query(annotation: Any) -> None:
    assert query(annotation, "value=x") == "value: expected object, got str"


def test_names_that_are_no_fields_may_be_given_often() -> None:
    assert query(int, "value=1&utm=a&utm=b") == 1
