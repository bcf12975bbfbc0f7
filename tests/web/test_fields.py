"""A field means what its annotation says, wherever it comes from: body, query or path."""

import datetime
import enum
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tests.support.apis import api_of, path_params, read


class Color(enum.Enum):
    """Text with few values."""

    RED = "red"


class Level(enum.IntEnum):
    """A number with few values."""

    HIGH = 3


class Line(Struct):
    """A value in a value."""

    price: Decimal
    count: Annotated[int, Meta(ge=1)] = 1


class Cash(Struct, tag="cash"):
    """One of two."""

    amount: Decimal


class Card(Struct, tag="card"):
    """The other."""

    number: str


class Point(NamedTuple):
    """An array with names."""

    x: int
    y: Decimal


@dataclass
class Note:
    """An object that is no Struct."""

    price: Decimal


class Span(Struct):
    """A Struct with a check of its own."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise ValueError
        if self.start > self.end:
            raise ValueError("URL `x` - at `$` is no end")


UTC = datetime.UTC
NOON = datetime.datetime(2026, 1, 2, 12, 0, 0, 5, tzinfo=UTC)
ID = uuid.UUID("c3b1a5b4-3f6b-4b9e-8d6e-0e3c2ad2a1f7")
EXACT = Decimal("12345678901234567.89")

JSON = [
    (Decimal, "12345678901234567.89", EXACT),
    (Decimal, '"12345678901234567.89"', EXACT),
    (Decimal, "0.10", Decimal("0.10")),
    (Decimal, "1e400", Decimal("1e400")),
    (Decimal, "9" * 40, Decimal("9" * 40)),
    (Decimal, '"NaN"', "value: the number is not finite"),
    (Decimal, '"sNaN"', "value: the number is not finite"),
    (Decimal | None, "null", None),
    (Raw, '{"a" : 0.10}', b'{"a" : 0.10}'),
    (Raw, "9" * 40, b"9" * 40),
    (int, "18446744073709551615", 18446744073709551615),
    (int, "9" * 40, "value: the integer does not fit in 64 bits"),
    (int, '"7"', 7),
    (int, "7.0", 7),
    (float, "0.1", 0.1),
    (float, '"inf"', "value: the number is not finite"),
    (bool, '"true"', True),
    (str, '"\\u00e4"', "ä"),
    (str, "7", "value: expected str, got int"),
    (bytes, '"AAE="', b"\0\1"),
    (datetime.datetime, '"2026-01-02T12:00:00.000005Z"', NOON),
    (datetime.datetime, "253402300800", "a date is out of range"),
    (datetime.date, '"2026-01-02"', datetime.date(2026, 1, 2)),
    (datetime.time, '"12:00:00"', datetime.time(12)),
    (datetime.timedelta, '"P1D"', datetime.timedelta(days=1)),
    (uuid.UUID, f'"{ID}"', ID),
    (Color, '"red"', Color.RED),
    (Color, '"blue"', "value: invalid enum value 'blue'"),
    (Level, "3", Level.HIGH),
    (Literal["a", 1], "1", 1),
    (int | str, '"x"', "x"),
    (list[Decimal], "[0.10, 12345678901234567.89]", [Decimal("0.10"), EXACT]),
    (dict[str, Decimal], '{"a": 0.10}', {"a": Decimal("0.10")}),
    (dict[int, str], '{"7": "x"}', {7: "x"}),
    (
        dict[int, str],
        '{"%s": ""}' % ("9" * 40),
        f"value[{'9' * 40}]: the integer does not fit in 64 bits",
    ),
    (dict[int, str], '{"x": ""}', "value: in a key: expected int, got str"),
    (set[int], "[1, 1, 2]", {1, 2}),
    (frozenset[str], '["a"]', frozenset({"a"})),
    (tuple[int, Decimal], "[1, 0.10]", (1, Decimal("0.10"))),
    (Point, "[1, 0.10]", Point(1, Decimal("0.10"))),
    (Line, '{"price": 0.10, "unknown": 1e999}', Line(Decimal("0.10"))),
    (list[Line], '[{"price": 1, "count": 0}]', "value[0].count: expected int >= 1"),
    (Span, '{"start": 1, "end": 1}', "value: invalid value"),
    (Span, '{"start": 2, "end": 1}', "value: URL x - at $ is no end"),
    (Note, '{"price": 0.10}', Note(Decimal("0.10"))),
    (Note, '{"price": "NaN"}', "value.price: the number is not finite"),
    (Cash | Card, '{"type": "cash", "amount": 0.10}', Cash(Decimal("0.10"))),
    (Cash | Card, '{"amount": 1, "type": "coin"}', "value.type: invalid value 'coin'"),
    (Any, '{"a": [1, 0.5, null]}', {"a": [1, 0.5, None]}),
    (Any, "[%s]" % ("9" * 40), "value[0]: the integer does not fit in 64 bits"),
]


@pytest.mark.parametrize(("annotation", "text", "value"), JSON, ids=lambda v: repr(v)[:40])
def test_a_body_means_the_same_on_a_route_with_a_value_in_its_path(
    annotation: Any, text: str, value: Any
) -> None:
    api, body = api_of(annotation), f'{{"value":{text}}}'.encode()
    alone, with_path = read(api, body), read(api, body, user_id=7)
    assert (alone, with_path) == (value, value)
    assert str(alone) == str(with_path) == str(value)  # 0.1 equals 0.10
    assert type(alone) is type(with_path)


def test_a_field_that_is_not_sent_is_its_default() -> None:
    for api in (
        api_of(int | UnsetType, UNSET),
        api_of(list[int], []),
        api_of(Decimal | None, None),
    ):
        assert read(api, b"{}") == read(api, b"{}", user_id=7) == read(api, {})
    assert read(api_of(int | UnsetType, UNSET), {}) is UNSET


PATHS = [
    ("/<int:value>", "/7", int, 7),
    ("/<int:value>", "/7", Decimal, Decimal(7)),
    ("/<int:value>", "/7", float, 7.0),
    ("/<int:value>", "/3", Level, Level.HIGH),
    ("/<int:value>", "/0", Annotated[int, Meta(ge=1)], "value: expected int >= 1"),
    ("/<int:value>", f"/{'9' * 40}", int, "value: the integer does not fit in 64 bits"),
    ("/<int:value>", f"/{'9' * 40}", Decimal, Decimal("9" * 40)),
    ("/<int(signed=True):value>", "/-7", int, -7),
    ("/<float:value>", "/1.5", float, 1.5),
    ("/<float:value>", "/1.5", Decimal, Decimal("1.5")),
    ("/<float:value>", f"/{'9' * 400}.0", float | None, "value: the number is not finite"),
    ("/<uuid:value>", f"/{ID}", uuid.UUID, ID),
    ("/<uuid:value>", f"/{ID}", str, str(ID)),
    ("/<value>", f"/{ID}", uuid.UUID, ID),
    ("/<value>", "/12345678901234567.89", Decimal, EXACT),
    ("/<value>", "/0.10", Decimal, Decimal("0.10")),
    ("/<value>", "/7", int, 7),
    ("/<value>", "/x", int, "value: expected int, got str"),
    ("/<value>", "/2026-01-02", datetime.date, datetime.date(2026, 1, 2)),
    ("/<value>", "/red", Color, Color.RED),
    ("/<value>", '/"}{\\ä', str, '"}{\\ä'),
    ("/<value>", "/x", Raw, b'"x"'),
    ("/<path:value>", "/a/b", str, "a/b"),
    ("/<any(a,b):value>", "/b", Literal["a", "b"], "b"),
]


@pytest.mark.parametrize(("rule", "path", "annotation", "value"), PATHS)
def test_a_value_in_the_path_is_read_by_its_annotation_and_replaces_others(
    rule: str, path: str, annotation: Any, value: Any
) -> None:
    api, params = api_of(annotation), path_params(rule, path)
    for sent in (
        b"{}",
        b'{"value":[{}]}',
        b' {"user_id":"9","value":1}',
        {},
        {"value": ["a", "b"]},
    ):
        got = read(api, sent, **params)
        assert (got, str(got)) == (value, str(value))


def test_a_path_takes_nothing_from_the_rest_of_the_body() -> None:
    api = api_of(list[Decimal], forbid_unknown_fields=True)
    assert read(api, b'{"value":[0.10],"user_id":"?"}', user_id=7) == [Decimal("0.10")]
    assert read(api, b'{"value":[],"more":1}', user_id=7) == "more: unknown field"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"value":1', b'{"value":1}}', b'{"value":"}', b'{"value":01}', b"{,}", b"\xff"],
)
@pytest.mark.parametrize("params", [{}, {"user_id": 7}])
def test_a_body_that_is_not_json_is_refused_on_any_route(body: bytes, params: Any) -> None:
    assert read(api_of(int), body, **params).startswith("the body is not JSON: ")


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"'])
@pytest.mark.parametrize("params", [{}, {"user_id": 7}])
def test_a_body_that_is_no_object_is_refused_on_any_route(body: bytes, params: Any) -> None:
    assert read(api_of(int), body, **params) == "the body is not a JSON object"
