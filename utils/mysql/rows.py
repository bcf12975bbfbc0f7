"""Rows as instances of a class."""

from collections.abc import Sequence
from inspect import formatannotation
from typing import Any, get_origin

import msgspec
from msgspec import ValidationError

from utils.codec import JSON_ERRORS
from utils.mysql.columns import Column, columns_of
from utils.turns import fairly

Row = dict[str, Any]


class RowError(ValidationError):
    """A column does not fit the type of its field, or is not there; the message has no values."""


def convert(rows: Sequence[Row], into: Any, sql: str) -> list[Any]:
    """Return the rows as instances of the class; raise RowError if one does not fit.

    A Struct's columns go by the Python names of its fields. The text of a column whose field is a
    list, a dict or a class is a JSON document, in which the names are JSON's.
    """
    names = tuple(rows[0]) if rows and get_origin(into) is dict else ()
    columns, plain = columns_of(into, names)
    if plain:
        try:
            return [msgspec.convert(row, into, strict=False) for row in fairly(rows)]
        except ValidationError:  # a SUM, a TIME, or what does not fit
            pass
    return [fitted(row, into, columns, sql) for row in fairly(rows)]


def fitted(row: Row, into: Any, columns: Sequence[Column], sql: str) -> Any:
    """Return the row as an instance of the class, column by column."""
    try:
        fields = {c.key: c.fit(row[c.name]) for c in columns if c.name in row}
        return msgspec.convert(fields, into, strict=False)
    except JSON_ERRORS as error:
        reason = misfit(row, columns) or str(error)
    raise RowError(f"{reason}: {sql}")  # out here, for msgspec's error may quote the value


def misfit(row: Row, columns: Sequence[Column]) -> str:
    """Return which column does not fit its type; "" if it is none of them alone."""
    for column in columns:
        try:
            if column.name in row:
                msgspec.convert(column.fit(row[column.name]), column.annotation, strict=False)
        except JSON_ERRORS as error:
            value, wanted = row[column.name], formatannotation(column.annotation)
            found = "NULL" if value is None else type(value).__name__
            detail = "" if " value " in str(error) else f" ({error})"
            return f"column {column.name}: {found} does not fit {wanted}{detail}"
    return ""
