"""Rows as instances: columns go by the Python names of the fields."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from msgspec import Raw, Struct, field

from utils.dev.servers import MariaDB, MySQL
from utils.mysql import RowError, mysql


class Line(Struct, rename="camel"):
    """What stands in a JSON column, with the names of JSON."""

    line_no: int
    unit_price: Decimal


class Sale(Struct, rename="camel", kw_only=True):
    """A row whose JSON has other names than its columns."""

    sale_id: int
    source: str = field(name="from")
    total_price: Decimal
    sold_at: dt.datetime
    paid_on: dt.date | None = None
    left_over: dt.timedelta = dt.timedelta()
    order_lines: list[Line] = field(default_factory=list)
    first_line: Line | None = None
    free_text: str | None = None
    raw_bytes: bytes = b""


SALES = """
    CREATE TABLE pyserver.sales (
        sale_id INT, source TEXT, total_price DECIMAL(30, 2), sold_at DATETIME(6), paid_on DATE,
        left_over TIME, order_lines JSON, first_line JSON, free_text TEXT, raw_bytes BLOB,
        `from` TEXT DEFAULT ('a column that only has the JSON name of a field'))
"""
INSERT = """
    INSERT INTO sales (sale_id, source, total_price, sold_at, paid_on, left_over, order_lines,
        first_line, free_text, raw_bytes)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
LINES = '[{"lineNo": 1, "unitPrice": 12345678901234567.89}, {"lineNo": 2, "unitPrice": 0.10}]'


@pytest.fixture
def sales(accounts: MariaDB) -> None:
    accounts.run("DROP TABLE IF EXISTS pyserver.sales", SALES)


def test_every_type_of_column_becomes_its_field(accounts: MariaDB, sales: None) -> None:
    sold_at = dt.datetime(2026, 2, 28, 23, 59, 59, 123456)
    paid_on, left_over = dt.date(2026, 3, 1), dt.timedelta(hours=30)
    price = Decimal("12345678901234567.89")
    # MySQL keeps a number of JSON as a DOUBLE, MariaDB as the text that it was.
    in_json = Decimal("12345678901234568") if isinstance(accounts, MySQL) else price
    values = (1, "shop", price, sold_at, paid_on, left_over, LINES, None, "[1]", b"\0\xff")
    mysql.execute(INSERT, *values)
    assert mysql.row("SELECT * FROM sales", into=Sale) == Sale(
        sale_id=1,
        source="shop",
        total_price=price,
        sold_at=sold_at,
        paid_on=paid_on,
        left_over=left_over,
        order_lines=[Line(1, in_json), Line(2, Decimal("0.10"))],
        first_line=None,
        free_text="[1]",
        raw_bytes=b"\0\xff",
    )


def test_null_is_none_and_a_column_that_is_not_selected_the_default(sales: None) -> None:
    sold_at = dt.datetime(2026, 1, 1)
    line = '{"lineNo": 3, "unitPrice": 1}'
    mysql.execute(INSERT, 1, "shop", 1, sold_at, None, "0:00", "[]", line, None, b"")
    sale = mysql.row("SELECT * FROM sales", into=Sale)
    assert sale
    assert (sale.paid_on, sale.free_text, sale.order_lines) == (None, None, [])
    assert sale.first_line == Line(3, Decimal(1))
    select = "SELECT sale_id, source, total_price, sold_at FROM sales"
    (sale,) = mysql.rows(select, into=Sale)
    assert sale == Sale(sale_id=1, source="shop", total_price=Decimal(1), sold_at=sold_at)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("1 AS saleId, 'a' AS source, 1.0 AS total_price, NOW() AS sold_at", "field `saleId`"),
        ("1 AS sale_id, 'a' AS `from`, 1.0 AS total_price, NOW() AS sold_at", "field `from`"),
        ("'[' AS order_lines", "column order_lines: str does not fit list"),
        ("'{}' AS first_line", "column first_line: str does not fit"),
        ("'{}' AS first_line", "field `lineNo`"),
        ("'a' AS raw_bytes", "column raw_bytes: str does not fit bytes"),
        ("1 AS free_text", "column free_text: int does not fit str | None"),
        ("NOW() AS paid_on", "column paid_on: datetime does not fit datetime.date | None"),
    ],
)
def test_a_row_that_does_not_fit_is_an_error(accounts: MariaDB, columns: str, message: str) -> None:
    if "sold_at" not in columns:
        columns += ", 1 AS sale_id, 'a' AS source, 1.0 AS total_price, NOW() AS sold_at"
    with pytest.raises(RowError) as caught:
        mysql.row(f"SELECT {columns}", into=Sale)
    assert message in str(caught.value)
    assert str(caught.value).endswith(f": SELECT {columns}")


class Documents(Struct):
    """Fields that a JSON document may become, and those that stay text."""

    numbers: set[int]
    pair: tuple[int, str] | None
    by_name: dict[str, Line]
    raw: Raw
    text: str | list[int]
    anything: Any


def test_a_json_column_is_read_by_its_type(accounts: MariaDB) -> None:
    select = (
        "SELECT %s AS numbers, %s AS pair, %s AS by_name, %s AS raw, %s AS text, %s AS anything"
    )
    by_name = '{"a": {"lineNo": 1, "unitPrice": 2}}'
    row = mysql.row(select, "[1, 2]", '[1, "a"]', by_name, "[ ]", "[1]", "{}", into=Documents)
    assert row
    assert (row.numbers, row.pair) == ({1, 2}, (1, "a"))
    assert row.by_name == {"a": Line(1, Decimal(2))}
    assert (bytes(row.raw), row.text, row.anything) == (b"[ ]", "[1]", "{}")


@dataclass
class Plain:
    """A dataclass has no other names."""

    number: int
    text: str | None


@pytest.mark.parametrize("into", [Plain, dict[str, Any]])
def test_other_classes_take_rows_too(accounts: MariaDB, into: Any) -> None:
    row = mysql.row("SELECT 1 AS number, NULL AS text", into=into)
    assert row == into(number=1, text=None)
