"""Rows as instances of a class."""

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

Row = dict[str, Any]
Decode = Callable[[str | bytes], Any]
DOCUMENTS = (
    inspect.CollectionType,
    inspect.TupleType,
    inspect.DictType,
    inspect.StructType,
    inspect.DataclassType,
    inspect.TypedDictType,
    inspect.NamedTupleType,
    inspect.RawType,
)


def convert(row: Row, into: Any) -> Any:
    """Return the row as an instance of the class.

    A Struct's columns go by the Python names of its fields. The text of a column whose field is a
    list, a dict or a class is a JSON document, in which the names are JSON's.
    """
    if columns := columns_of(into):
        fields = {}
        for name, (key, decode) in columns.items():
            if name in row:
                value = row[name]
                fields[key] = decode(value) if decode and isinstance(value, (str, bytes)) else value
        row = fields
    return msgspec.convert(row, into, strict=False)


@cache
def columns_of(into: Any) -> dict[str, tuple[str, Decode | None]]:
    """Return msgspec's name of each column of a Struct, and what decodes a JSON document in it.

    Nothing if msgspec can read the rows as they are.
    """
    try:
        fields = msgspec.structs.fields(into)
    except TypeError:
        return {}
    columns = {field.name: (field.encode_name, decoder(field.type)) for field in fields}
    return columns if any(column != (name, None) for name, column in columns.items()) else {}


def decoder(annotation: Any) -> Decode | None:
    """Return what decodes a value of this type, if it can only come from a JSON document."""
    node = inspect.type_info(annotation)
    if isinstance(node, inspect.Metadata):
        node = node.type
    members = node.types if isinstance(node, inspect.UnionType) else (node,)
    if any(isinstance(member, (inspect.StrType, inspect.AnyType)) for member in members):
        return None
    if any(isinstance(member, DOCUMENTS) for member in members):
        return msgspec.json.Decoder(annotation).decode
    return None
