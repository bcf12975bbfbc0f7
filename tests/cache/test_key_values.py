"""The arguments: no two different ones share a key, and what cannot promise it is refused."""

import dataclasses
import enum
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from conf.setting import Secret
from tests.support.cache import Thing
from utils.cache import cached


class Color(enum.Enum):
    RED = 1


class Paint:
    class Color(enum.Enum):
        RED = 1


class Shade(str, enum.Enum):  # noqa: UP042  also such a one
    RED = "1"

    def __repr__(self) -> str:
        return "1"


class Level(enum.IntEnum):
    ONE = 1


class Right(enum.Flag):
    NONE = 0
    READ = 1
    WRITE = 2


# No two of them share a key, though many are equal or have equal texts.
VALUES: list[Any] = [
    *(
        "",
        "=",
        "1",
        "-1",
        "01",
        "+1",
        "1.0",
        "True",
        "None",
        "=None",
        "=True",
        "%31",
        "7%3A",
        "a:b",
    ),
    *("a#lock", "é", "e\u0301", "\ud800", "\\ud800", "\0", "\u0661", " 1", "RED", "nan", "{}"),
    *(1, -1, 10**30, True, False, None, 1.0, 0.0, -0.0, 0.1 + 0.2, 0.3, float("nan"), float("inf")),
    *(b"", b"1", b"=", Decimal("1"), Decimal("1.0"), Decimal("1.00"), Decimal("NaN")),
    *(UUID(int=1), str(UUID(int=1)), timedelta(1), timedelta(seconds=1)),
    *(date(2020, 1, 1), datetime(2020, 1, 1), datetime(2020, 1, 1, fold=1)),
    *(
        datetime(2020, 1, 1, tzinfo=UTC),
        datetime(2020, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    ),
    *(Color.RED, Paint.Color.RED, Shade.RED, Level.ONE),
    *(Right.NONE, Right.READ, Right.WRITE, Right.READ | Right.WRITE),
    *(
        (),
        (1,),
        ("1",),
        (1.0,),
        (True,),
        ("1,2",),
        ("1", "2"),
        (1, 2),
        ((1,), 2),
        (1, (2,)),
        ("a",),
    ),
    *([], [1], ["1"], [[1]], [()], ([],), (None,), ("None",), (Color.RED,), (-0.0,), (b"1",)),
]


def test_no_two_values_share_a_key() -> None:
    @cached("value:{value}", 60)
    def load(value: object) -> int:
        return 1

    keys = [load.key_for(value) for value in VALUES]
    assert len(set(keys)) == len(VALUES)
    assert all(re.fullmatch(r"pyserver:value:[\w.%=~-]*", key, re.ASCII) for key in keys)


def enum_of_a_function() -> Any:
    class Local(enum.Enum):
        RED = 1

    return Local.RED


class Number(int):
    pass


class Text(str):
    def __repr__(self) -> str:
        return "***"


class Pair(NamedTuple):
    one: int
    other: int


@dataclass
class Point:
    x: int
    hidden: int = dataclasses.field(repr=False, default=0)


class Zone(tzinfo):
    def __repr__(self) -> str:
        return "UTC"

    def utcoffset(self, moment: object) -> timedelta:
        return timedelta(0)

    dst = utcoffset

    def tzname(self, moment: object) -> str:
        return "UTC"


class SameUUID(UUID):
    pass


NO_KEYS = [
    {"a", "b"},
    {"a": 1},
    frozenset([1]),
    object(),
    Thing("a", 1),
    Point(1),
    Pair(1, 2),
    Number(1),
    Text("secret"),
    Secret("secret"),
    SameUUID(int=1),
    bytearray(b"a"),
    memoryview(b"a"),
    1j,
    range(3),
    int,
    len,
    datetime(2020, 1, 1, tzinfo=Zone()),
    datetime(2020, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    time(1),
    enum_of_a_function(),
    (1, object()),
    [[Secret("secret")]],
]


@pytest.mark.parametrize("value", NO_KEYS, ids=lambda value: type(value).__name__)
def test_a_value_without_a_text_of_its_own_is_refused(value: object) -> None:
    """A subclass's text may mask what it likes, an object's has an address that is used again."""

    @cached("unusable:{value}", 60)
    def load(value: object) -> int:
        return 1

    with pytest.raises(TypeError, match="cannot be an argument of a cached function") as raised:
        load(value)
    assert "secret" not in str(raised.value)
