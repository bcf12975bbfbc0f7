"""Values in statements: each type that has an exact form in SQL, and no other.

A driver that sends str() of what it does not know stores what nobody wrote, and where the server
has NO_BACKSLASH_ESCAPES, a value that it escapes with backslashes is SQL.
"""

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
from pymysql.converters import escape_timedelta

from utils.codec import encode
from utils.mysql.errors import StatementError

Quote = Callable[[str], str]
MAX_DIGITS = 65  # of DECIMAL
MAX_INT = 10**MAX_DIGITS
MAX_TIME = dt.timedelta(hours=839)  # TIME ends before it


class Json(msgspec.Struct, frozen=True):
    """A document for a JSON column: `Json({"a": 1})`, also of Structs, as msgspec encodes them."""

    value: Any


def quote(text: str) -> str:
    """Return a literal for a session where a backslash escapes."""
    return "'" + str.replace(text, "\\", "\\\\").replace("'", "''") + "'"


def quote_without_backslashes(text: str) -> str:
    """Return a literal for a session with NO_BACKSLASH_ESCAPES."""
    return "'" + str.replace(text, "'", "''") + "'"


def of_int(value: int, quote: Quote) -> str:
    if not -MAX_INT < value < MAX_INT:
        raise StatementError(f"an int of more than {MAX_DIGITS} digits")
    return int.__repr__(value)


def of_float(value: float, quote: Quote) -> str:
    text = float.__repr__(value)
    if text in ("nan", "inf", "-inf"):
        raise StatementError(f"MySQL has no {text}")
    return text if "e" in text else f"{text}e0"  # without an exponent it is a DECIMAL


def of_decimal(value: Decimal, quote: Quote) -> str:
    if not value.is_finite():
        raise StatementError("MySQL has no NaN and no Infinity")
    # First by its exponent: 1E+999999999 would be as many digits.
    text = format(value, "f") if abs(value.adjusted()) < MAX_DIGITS else ""
    if not 0 < sum(map(str.isdigit, text)) <= MAX_DIGITS:
        raise StatementError(f"a Decimal of more than {MAX_DIGITS} digits: quantize it")
    return text


def of_datetime(value: dt.datetime, quote: Quote) -> str:
    if value.utcoffset() is not None:
        try:
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        except OverflowError:
            raise StatementError("a datetime that has no UTC") from None
    return f"'{dt.datetime.isoformat(value.replace(tzinfo=None), ' ')}'"


def of_time(value: dt.time, quote: Quote) -> str:
    if value.tzinfo is not None:
        raise StatementError("a time of day with a zone has no UTC without its date")
    return f"'{dt.time.isoformat(value)}'"


def of_timedelta(value: dt.timedelta, quote: Quote) -> str:
    if abs(value) >= MAX_TIME:
        raise StatementError("a timedelta of more than 838:59:59")
    return escape_timedelta(value)


def of_json(value: Json, quote: Quote) -> str:
    text = encode(value.value).decode()
    if "null" in text:  # msgspec's form of NaN
        try:
            json.dumps(msgspec.to_builtins(value.value), allow_nan=False)
        except ValueError:
            raise StatementError("JSON has no NaN and no Infinity") from None
    return quote(text)


FORMS: dict[type, Callable[[Any, Quote], str]] = {
    type(None): lambda value, quote: "NULL",
    bool: lambda value, quote: "1" if value else "0",
    int: of_int,
    float: of_float,
    Decimal: of_decimal,
    str: lambda value, quote: quote(value),
    # With _binary it is a string in every place; X'37' alone may be the number 55.
    bytes: lambda value, quote: f"_binary X'{bytes.hex(value)}'",
    bytearray: lambda value, quote: f"_binary X'{bytearray.hex(value)}'",
    memoryview: lambda value, quote: f"_binary X'{value.hex()}'",
    dt.datetime: of_datetime,
    dt.date: lambda value, quote: f"'{dt.date.isoformat(value)}'",
    dt.time: of_time,
    dt.timedelta: of_timedelta,
    UUID: lambda value, quote: f"'{UUID.__str__(value)}'",
    Json: of_json,
}


def literal(value: Any, quote: Quote) -> str:
    """Return a value as MySQL reads it; raise TypeError for a type that has no exact form."""
    form = FORMS.get(type(value)) or form_of(value)
    return form(value, quote)


def form_of(value: Any) -> Callable[[Any, Quote], str]:
    """Return the form of an Enum's value, or of the class that a value's class extends."""
    if isinstance(value, Enum):
        return lambda member, quote: literal(member.value, quote)
    for cls in type(value).__mro__:
        if cls in FORMS:
            return FORMS[cls]
    name = type(value).__name__
    raise TypeError(
        f"no form of {name} is exact in SQL: lists go after IN, documents are written by Json(...)"
    )
