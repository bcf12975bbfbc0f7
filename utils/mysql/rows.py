"""Rows as instances of a class."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

Row = dict[str, Any]
Decode = Callable[[str | bytes], Any]
DOCUMENTS = (
    inspect.ListType,
    inspect.SetType,
    inspect.FrozenSetType,
    inspect.VarTupleType,
    inspect.TupleType,
    inspect.DictType,
    inspect.StructType,
    inspect.DataclassType,
    inspect.TypedDictType,
    inspect.NamedTupleType,
    inspect.RawType,
)


class Column(NamedTuple):
    """A field of a Struct: `name` is its column's, `key` is msgspec's, which `rename=` changes."""

    name: str
    key: str
    decode: Decode | None  # if the column holds a JSON document


def convert(row: Row, into: Any) -> Any:
    """Return the row as an instance of the class.

    A Struct's columns go by the Python names of its fields. The text of a column whose field is a
    list, a dict or a class is a JSON document, in which the names are JSON's.
    """
    if not (columns := columns_of(into)):
        return msgspec.convert(row, into, strict=False)
    fields = {}
    for name, key, decode in columns:
        if name in row:
            value = row[name]
            fields[key] = decode(value) if decode and isinstance(value, (str, bytes)) else value
    return msgspec.convert(fields, into, strict=False)


@cache
def columns_of(into: Any) -> tuple[Column, ...]:
    """Return the columns of a Struct; none of a class whose rows msgspec reads as they are."""
    try:
        fields = msgspec.structs.fields(into)
    except TypeError:
        return ()
    columns = tuple(Column(f.name, f.encode_name, decoder(f.type)) for f in fields)
    return columns if any(c.name != c.key or c.decode for c in columns) else ()


def decoder(annotation: Any) -> Decode | None:
    """Return what reads the JSON document of such a field, if it is one."""
    if not is_document(annotation):
        return None
    return msgspec.json.Decoder(annotation).decode


def is_document(annotation: Any) -> bool:
    """Return whether a value of this type can only come from a JSON document."""
    node = inspect.type_info(annotation)
    if isinstance(node, inspect.Metadata):
        node = node.type
    members = node.types if isinstance(node, inspect.UnionType) else (node,)
    as_text = any(isinstance(member, (inspect.StrType, inspect.AnyType)) for member in members)
    return not as_text and any(isinstance(member, DOCUMENTS) for member in members)
