"""What stands in a column becomes what the field's annotation says, or is a RowError."""

import datetime as dt
import re
import traceback
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NotRequired, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta, Struct

from utils.dev.servers import MariaDB
from utils.mysql import Json, RowError, StatementError, mysql

Aware = Annotated[dt.datetime, Meta(tz=True)]
Naive = Annotated[dt.datetime, Meta(tz=False)]
T = TypeVar("T")
Color = Enum("Color", {"RED": "red", "BLUE": "blue"})
EAST = dt.timezone(dt.timedelta(hours=8))
AT = dt.datetime(2026, 1, 31, 23, 30, 0, 5)
ID = UUID("12345678-1234-5678-1234-567812345678")


class Line(Struct):
    """What a JSON column holds."""

    text: str
    count: int = 1


CREATE = """
    CREATE TABLE pyserver.kinds (
        bit1 BIT(1), bit9 BIT(9), tags SET('red', 'blue', 'green'), at DATETIME(6), ts TIMESTAMP(6),
        day DATE, clock TIME(6), doc JSON, total DECIMAL(20, 3), number INT, text TEXT, raw BLOB,
        id CHAR(36), id16 BINARY(16), color ENUM('red', 'blue'), floating DOUBLE)
"""


@pytest.fixture
def kinds(accounts: MariaDB) -> MariaDB:
    """A table with a column of each kind, and one row that is empty."""
    accounts.run("DROP TABLE IF EXISTS pyserver.kinds", CREATE)
    mysql.execute("INSERT INTO kinds (number) VALUES (1)")
    return accounts


def read(expression: str, annotation: Any) -> Any:
    """Return what an expression over the row is in a field with this annotation."""
    into = msgspec.defstruct("Shape", [("field", annotation)])
    row = mysql.row(f"SELECT {expression} AS field, 'not read' AS more FROM kinds", into=into)
    return row and row.field  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "value", "annotation", "expected"),
    [
        ("bit1", True, bool, True),
        ("bit1", 0, bool | None, False),
        ("bit9", 257, int, 257),
        ("tags", "red,green", set[str], {"red", "green"}),
        ("tags", "red", frozenset[Color], frozenset([Color["RED"]])),
        ("tags", "", set[str], set()),
        ("tags", "red,blue", set[Literal["red", "blue"]] | None, {"red", "blue"}),
        ("tags", "red,blue", str, "red,blue"),
        ("at", AT.replace(tzinfo=EAST), Aware, AT.replace(tzinfo=EAST)),
        ("at", AT, Aware, AT.replace(tzinfo=dt.UTC)),
        ("at", AT, Aware | None, AT.replace(tzinfo=dt.UTC)),
        ("at", AT, Naive, AT),
        ("at", AT, dt.datetime, AT),
        ("ts", AT.replace(tzinfo=dt.UTC), Aware, AT.replace(tzinfo=dt.UTC)),
        ("ts", AT, dt.datetime, AT),
        ("day", AT.date(), dt.date, AT.date()),
        ("clock", AT.time(), dt.time, AT.time()),
        ("clock", dt.timedelta(hours=-30), dt.timedelta, dt.timedelta(hours=-30)),
        ("clock", AT.time(), dt.timedelta | None, AT - dt.datetime.combine(AT, dt.time())),
        ("doc", Json({"a": [1]}), dict[str, list[int]], {"a": [1]}),
        ("doc", Json({"a": [1]}), dict, {"a": [1]}),
        ("doc", Json([1, 2]), list[int] | None, [1, 2]),
        ("doc", Json([1, 2]), set[int], {1, 2}),
        ("doc", Json([]), set[str], set()),
        ("doc", Json(Line("it's")), Line, Line("it's")),
        ("doc", Json([Line("a")]), tuple[Line, ...], (Line("a"),)),
        ("total", Decimal("12.000"), int, 12),
        ("total", Decimal("12.500"), float, 12.5),
        ("total", Decimal("12.500"), Decimal, Decimal("12.500")),
        ("total", Decimal("12.000"), int | Decimal, Decimal("12.000")),
        ("number", 12, float, 12.0),
        ("number", 12, Annotated[int, Meta(ge=12)], 12),
        ("number", True, bool, True),
        ("text", "[1]", str | list[int], "[1]"),
        ("raw", b"abcd", bytes, b"abcd"),
        ("raw", b'{"a": 1}', dict[str, int], {"a": 1}),
        ("id", ID, UUID, ID),
        ("id16", ID.bytes, UUID, ID),
        ("color", Color["RED"], Color, Color["RED"]),
        ("color", None, Color | None, None),
        ("floating", 0.1, float, 0.1),
    ],
)
def test_a_column_becomes_what_its_field_says(
    kinds: MariaDB, name: str, value: Any, annotation: Any, expected: Any
) -> None:
    mysql.execute(f"UPDATE kinds SET {name} = %s", value)
    found = read(name, annotation)
    assert found == expected
    assert isinstance(found, type(expected))


@pytest.mark.parametrize(
    "expression", ["SUM(number)", "COUNT(*)", "SUM(number) / 1", "MAX(number)"]
)
def test_a_whole_sum_is_an_int(kinds: MariaDB, expression: str) -> None:
    assert read(expression, int) == 1
    assert mysql.value("SELECT bit9 FROM kinds") is None


@pytest.mark.parametrize(
    ("expression", "annotation", "found", "wanted"),
    [
        ("NULL", int, "NULL", "int"),
        ("NULL", list[int], "NULL", "list[int]"),
        ("NULL", Line, "NULL", "Line"),
        ("'secret'", int, "str", "int"),
        ("'secret'", bytes, "str", "bytes"),
        ("'c2VjcmV0'", bytes | None, "str", "bytes | None"),
        ("'secret'", Color, "str", "Color"),
        ("'secret'", Literal["a"], "str", "Literal['a']"),
        ("'secret,b'", set[int], "str", "set[int]"),
        ("'{\"secret\": 1'", dict, "str", "dict"),
        ("'{\"text\": 4711}'", Line, "str", "Line"),
        ("'[\"secret\"]'", list[Color], "str", "list["),
        ("X'FF'", str, "bytes", "str"),
        ("X'FF'", dict, "bytes", "dict"),
        ("X'FF'", int, "bytes", "int"),
        ("1.5", int, "Decimal", "int"),
        ("4711", bool, "int", "bool"),
        ("TIMESTAMP'2026-01-01 00:00:00'", dt.date, "datetime", "datetime.date"),
        ("DATE'2026-01-01'", Aware, "date", "datetime"),
        ("TIME'24:00:00'", dt.time, "timedelta", "datetime.time"),
        ("TIME'-00:00:01'", dt.time, "timedelta", "datetime.time"),
        ("CAST('0000-00-00' AS CHAR)", dt.date | None, "str", "datetime.date | None"),
    ],
)
def test_what_does_not_fit_is_an_error_with_column_type_and_statement(
    kinds: MariaDB, expression: str, annotation: Any, found: str, wanted: str
) -> None:
    used = mysql.value("SELECT CONNECTION_ID()")
    with pytest.raises(RowError) as caught:
        read(expression, annotation)
    message = str(caught.value)
    assert message.startswith(f"column field: {found} does not fit ")
    assert wanted in message
    assert message.endswith(f": SELECT {expression} AS field, 'not read' AS more FROM kinds")
    shown = "".join(traceback.format_exception(caught.value)).replace(expression, "")
    assert "secret" not in shown
    assert mysql.value("SELECT CONNECTION_ID()") == used


class Renamed(Struct, rename="upper"):
    """A class whose JSON has other names."""

    bit1: bool
    tags: set[str]


@dataclass
class Plain:
    """A class without JSON."""

    bit1: bool
    tags: set[str]


class Keys(TypedDict):
    """A dict with fields."""

    bit1: NotRequired[bool]
    tags: set[str]


@pytest.mark.parametrize("into", [Renamed, Plain, Keys])
def test_every_class_has_its_columns_fitted(kinds: MariaDB, into: Any) -> None:
    mysql.execute("UPDATE kinds SET bit1 = %s, tags = %s", True, "red,blue")
    assert mysql.rows("SELECT * FROM kinds", into=into) == [into(bit1=True, tags={"red", "blue"})]
    assert mysql.value("SELECT bit1 FROM kinds") == 1
    for column, type_name in (("bit1", "bool"), ("tags", "set[str]")):
        mysql.execute(f"UPDATE kinds SET {column} = NULL")
        with pytest.raises(
            RowError, match=f"column {column}: NULL does not fit {re.escape(type_name)}"
        ):
            mysql.rows("SELECT * FROM kinds", into=into)
        mysql.execute("UPDATE kinds SET bit1 = 1")


def test_a_dict_with_a_type_has_its_columns_fitted(kinds: MariaDB) -> None:
    sums = mysql.rows("SELECT SUM(number), COUNT(*) AS count FROM kinds", into=dict[str, int])
    assert sums == [{"SUM(number)": 1, "count": 1}]
    with pytest.raises(RowError, match="column bit9: NULL does not fit int"):
        mysql.rows("SELECT number, bit9 FROM kinds", into=dict[str, int])


class Only(Struct):
    """One of the columns."""

    number: int


@pytest.mark.parametrize(
    "expression",
    [
        "NULL",
        "X'FF00'",
        "POINT(1, 2)",
        "'[broken'",
        "TIME'-30:00:00'",
        "1e300",
        "REPEAT('a', 70000)",
    ],
)
def test_a_column_that_nobody_reads_fails_for_nobody(kinds: MariaDB, expression: str) -> None:
    accounts = f"(SELECT {expression} AS odd, kinds.* FROM kinds) AS t"
    assert mysql.row(f"SELECT * FROM {accounts}", into=Only) == Only(1)


def test_a_vector_fails_only_for_whom_it_does_not_fit(kinds: MariaDB) -> None:
    try:
        mysql.execute("ALTER TABLE kinds ADD vector VECTOR(2)")
    except StatementError:
        pytest.skip("this server has no vectors")
    mysql.execute("UPDATE kinds SET vector = %s", b"\0\0\x80\xbf\0\0\x80\xbf")
    assert mysql.row("SELECT * FROM kinds", into=Only) == Only(1)
    assert read("vector", bytes) == b"\0\0\x80\xbf\0\0\x80\xbf"
    with pytest.raises(RowError, match=r"column field: bytes does not fit list\[float\]"):
        read("vector", list[float])


class Pair(Struct, Generic[T]):
    """A class with a type variable."""

    number: T
    tags: set[T]


def test_a_class_may_have_a_type_variable(kinds: MariaDB) -> None:
    mysql.execute("UPDATE kinds SET tags = 'red'")
    select = "SELECT *, 'a' AS number FROM (SELECT tags FROM kinds) AS t"
    assert mysql.row(select, into=Pair[str]) == Pair("a", {"red"})
