"""A value arrives as it is, or is refused before anything is sent."""

import datetime as dt
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from time import gmtime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as some
from msgspec import Struct

from utils.dev.servers import MariaDB
from utils.mysql import Json, StatementError, mysql
from utils.mysql.connection import Connection
from utils.mysql.execute import execute
from utils.mysql.pool import pool

Point = namedtuple("Point", "x y")
Color = Enum("Color", {"RED": "it's \\ red"})
Size = IntEnum("Size", {"BIG": 7})
Word = StrEnum("Word", {"ONE": "one"})
Right = Flag("Right", ["READ", "WRITE"])
EAST = dt.timezone(dt.timedelta(hours=8))


class Line(Struct):
    """What a JSON column holds."""

    text: str
    count: int


class Loud(str):
    """A str whose own methods are not to be trusted with its content."""

    def __str__(self) -> str:
        return "' OR 1=1 -- "

    replace = translate = __format__ = None  # type: ignore[assignment]


COLUMNS = {
    "BIGINT": some.integers(-(2**63), 2**63 - 1),
    "BIGINT UNSIGNED": some.integers(0, 2**64 - 1),
    "DECIMAL(65)": some.integers(1 - 10**65, 10**65 - 1),
    "BOOL": some.booleans(),
    "DOUBLE": some.floats(allow_nan=False, allow_infinity=False),
    "DECIMAL(64, 30)": some.decimals(1 - 10**34, 10**34 - 1, allow_nan=False, places=30),
    "LONGTEXT": some.text(),
    "LONGBLOB": some.binary(),
    "DATETIME(6)": some.datetimes(),
    "DATE": some.dates(),
    "TIME(6)": some.timedeltas(-dt.timedelta(hours=838), dt.timedelta(hours=838)),
}
ROWS = some.tuples(*(some.none() | strategy for strategy in COLUMNS.values()))
MODES = [
    "",
    "STRICT_TRANS_TABLES",
    "NO_BACKSLASH_ESCAPES",
    "ANSI_QUOTES",
    "NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT,IGNORE_SPACE,STRICT_ALL_TABLES",
    "NO_UNSIGNED_SUBTRACTION,HIGH_NOT_PRECEDENCE,REAL_AS_FLOAT,PAD_CHAR_TO_FULL_LENGTH",
    "TRADITIONAL",
    "ANSI",
]


@pytest.fixture(params=MODES)
def session(accounts: MariaDB, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A session with an sql_mode, and a table with a column of each type."""
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(COLUMNS))
    with pool().connection() as connection:
        execute(connection, "SET sql_mode = %s", [request.param])
        execute(connection, f"CREATE TEMPORARY TABLE kinds ({columns})")
        yield connection
        connection.close()


def read_back(connection: Connection, values: Sequence[Any]) -> tuple[Any, ...]:
    """Insert a row, and return what stands in the table then."""
    execute(connection, "DELETE FROM kinds")
    marks = ", ".join(["%s"] * len(values))
    execute(connection, f"INSERT INTO kinds VALUES ({marks})", values)
    (row,) = execute(connection, "SELECT * FROM kinds").rows
    return tuple(row.values())


@limits(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=ROWS)
def test_a_value_of_each_type_comes_back_in_every_mode(
    session: Connection, values: tuple[Any, ...]
) -> None:
    assert read_back(session, values) == values
    for value in values:
        if isinstance(value, (str, bytes)):
            assert value_of(session, "SELECT %s", value) == value
            assert value_of(session, "SELECT 'a' <> %s OR 1", value) == 1


def value_of(connection: Connection, sql: str, *values: Any) -> Any:
    (row,) = execute(connection, sql, values).rows
    return next(iter(row.values()))


# The second byte of these is a backslash there.
@pytest.mark.parametrize(
    ("charset", "text"),
    [("gbk", "縗"), ("big5", "功"), ("sjis", "表"), ("latin1", "¥é"), ("utf16", "😀")],
)
@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES"])
def test_a_text_comes_back_in_every_character_set(
    accounts: MariaDB, charset: str, text: str, mode: str
) -> None:
    with pool().connection() as connection:
        execute(connection, "SET sql_mode = %s", [mode])
        execute(connection, f"CREATE TEMPORARY TABLE kinds (c LONGTEXT CHARACTER SET {charset})")
        for value in (text, f"{text}\\{text}'", f"' OR 1=1 -- {text}", '"\0\n\x1a`%'):
            assert read_back(connection, [value]) == (value,)
        connection.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SET NAMES gbk",
        "set\nnames 'sjis' COLLATE sjis_bin",
        "/* a */ SET @a = 1, @@session.character_set_client = 'big5'",
        "SET `character_set_client`=gbk",
        "SET CHARACTER SET gbk",
        "SET NAMES utf8mb4, character_set_client = gbk",
        "SET CHARSET DEFAULT",
        "SET NAMES %s",
    ],
)
def test_nobody_leaves_a_session_in_another_character_set(accounts: MariaDB, sql: str) -> None:
    """In gbk a byte of a text takes the backslash after it, and what comes next is SQL."""
    values = ["gbk"] if "%s" in sql else []
    with pytest.raises(StatementError, match="utf8mb4"):
        mysql.execute(sql, *values)
    with pytest.raises(StatementError, match="utf8mb4"), mysql.transaction() as tx:
        tx.execute(sql, *values)
    assert mysql.value("SELECT @@character_set_client") == "utf8mb4"


def test_a_session_may_be_set_to_what_it_is(accounts: MariaDB) -> None:
    mysql.execute("SET NAMES utf8mb4")
    mysql.execute("SET character_set_client = utf8mb4")


ID = UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (dt.datetime(2026, 1, 1, 7, 30, tzinfo=EAST), "2025-12-31 23:30:00"),
        (dt.datetime(2026, 1, 1, 7, 30, 0, 5, tzinfo=dt.UTC), "2026-01-01 07:30:00.000005"),
        (dt.time(7, 30, 0, 5), "07:30:00.000005"),
        (-dt.timedelta(hours=1, microseconds=5), "-01:00:00.000005"),
        (Color.RED, "it's \\ red"),
        (Size.BIG, 7),
        (Word.ONE, "one"),
        (Right.READ | Right.WRITE, 3),
        (ID, str(ID)),
        (Loud("it's quiet"), "it's quiet"),
        (bytearray(b"\0\xff'"), b"\0\xff'"),
        (memoryview(b"\0\xff'"), b"\0\xff'"),
        (Decimal("1E+3"), 1000),
        (Decimal("-1E-30"), Decimal("-1E-30")),
        (Json({"a": [1, None, "it's \\"]}), '{"a":[1,null,"it\'s \\\\"]}'),
        (Json([Line("😀", 1)]), '[{"text":"😀","count":1}]'),
        (Json(None), "null"),
    ],
    ids=repr,
)
def test_a_value_has_one_exact_form(accounts: MariaDB, value: Any, stored: Any) -> None:
    assert mysql.value("SELECT %s", value) == stored


def test_bytes_are_never_a_number(accounts: MariaDB) -> None:
    assert mysql.value("SELECT %s + 0", b"7") == 7


def send_everywhere(value: Any) -> None:
    """Send a value in each way there is; each is refused."""
    calls: list[Callable[[], Any]] = [
        lambda: mysql.value("SELECT 1 FROM DUAL WHERE 'zz' = %s", value),
        lambda: mysql.value("SELECT 1 FROM DUAL WHERE 'zz' = %(a)s", {"a": value}),
        lambda: mysql.value("SELECT 1 FROM DUAL WHERE 'zz' IN %s", ["a", value]),
        lambda: mysql.execute_many("INSERT INTO accounts (cents) VALUES (%s)", [(1,), (value,)]),
        lambda: mysql.execute_many("UPDATE accounts SET cents = %s", [(1,), (value,)]),
    ]
    for call in calls:
        with pytest.raises((TypeError, StatementError)) as caught:
            call()
        assert isinstance(caught.value, TypeError) == (not isinstance(value, EXACT))
        assert getattr(caught.value, "code", 0) == 0  # it is not the server's
        assert "secret" not in f"{caught.value!r} {caught.value}"


EXACT = (int, float, Decimal, str, dt.datetime, dt.time, dt.timedelta, Json)


@pytest.mark.parametrize(
    "value",
    [
        PurePosixPath("' OR 1=1 -- secret"),
        object(),
        Line("secret", 1),
        {"a": 1},
        Point(1, 2),
        gmtime(),
        IPv4Address("127.0.0.1"),
        1j,
        range(2),
        Enum("Odd", {"A": object()}).A,  # type: ignore[attr-defined]
        Line,
        10**65,
        10**5000,
        float("nan"),
        -float("inf"),
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1E+999999999"),
        Decimal("1E-999999999"),
        Decimal("1." + "1" * 65),
        "secret \ud800",
        dt.datetime(1, 1, 1, tzinfo=EAST),
        dt.time(1, tzinfo=EAST),
        dt.timedelta(hours=839),
        Json(float("nan")),
        Json([None, {"a": float("inf")}]),
        Json("secret \ud800"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_exact_form_is_refused_and_costs_no_connection(
    accounts: MariaDB, value: Any
) -> None:
    used = mysql.value("SELECT CONNECTION_ID()")
    send_everywhere(value)
    assert mysql.value("SELECT CONNECTION_ID()") == used
    assert mysql.value("SELECT SUM(cents) FROM accounts") == 200


@pytest.mark.parametrize("value", [Json(object()), Json({"a": PurePosixPath("a")})])
def test_a_document_has_only_what_json_has(accounts: MariaDB, value: Json) -> None:
    with pytest.raises(TypeError):
        mysql.value("SELECT %s", value)
