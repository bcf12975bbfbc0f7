"""The columns of a class: what makes a value from MySQL fit the type of its field."""

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from types import GenericAlias
from typing import Any, NotRequired, Required, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct, ValidationError, inspect

Form = Callable[[Any], Any]
TEXTS = {inspect.StrType, inspect.AnyType}
BYTES = {inspect.BytesType, inspect.ByteArrayType, inspect.MemoryViewType}
SETS = {inspect.SetType, inspect.FrozenSetType}
DOCUMENTS = SETS | {
    inspect.ListType,
    inspect.VarTupleType,
    inspect.TupleType,
    inspect.DictType,
    inspect.StructType,
    inspect.DataclassType,
    inspect.TypedDictType,
    inspect.NamedTupleType,
    inspect.RawType,
}


class Column(Struct):
    """A column, and the field that it becomes."""

    name: str  # also the field's in Python
    key: str  # the field's in JSON, which msgspec goes by
    annotation: Any
    forms: dict[type, Form]  # of values that msgspec would refuse, or read wrong

    def fit(self, value: Any) -> Any:
        """Return the value as msgspec reads it."""
        form = self.forms.get(type(value))
        return form(value) if form else value


@cache
def columns_of(into: Any, names: Sequence[str]) -> tuple[list[Column], bool]:
    """Return the columns of a class, and whether msgspec reads all as they are, or refuses.

    Those of a `dict[str, T]` have the names.
    """
    if isinstance(into, GenericAlias):
        fields = [(name, name, get_args(into)[1]) for name in names]
    elif isinstance(into, type) and issubclass(into, Struct):
        fields = [(f.name, f.encode_name, f.type) for f in msgspec.structs.fields(into)]
    else:
        hints = get_type_hints(into, include_extras=True)
        fields = [(name, name, bare(hint)) for name, hint in hints.items()]
    columns = [Column(name, key, hint, forms_of(hint)) for name, key, hint in fields]
    read_wrong = {str, bytes, dt.datetime}
    plain = all(c.key == c.name and read_wrong.isdisjoint(c.forms) for c in columns)
    return columns, plain


def forms_of(annotation: Any) -> dict[type, Form]:
    """Return what makes values of these types fit a type that has none of them."""
    nodes = nodes_of(inspect.type_info(annotation))
    kinds = set(map(type, nodes))
    decode = msgspec.json.Decoder(annotation).decode
    forms: dict[type, Form] = {}
    if kinds & DOCUMENTS:
        forms |= {str: decode, bytes: decode}
    if kinds & SETS:
        forms[str] = lambda text: decode(text) if text.lstrip()[:1] == "[" else members(text)
    if kinds & BYTES:
        forms |= {str: forms.get(str, refuse), bytes: bytes}
    if kinds & TEXTS:
        forms.pop(str, None)
    if inspect.IntType in kinds and inspect.DecimalType not in kinds:
        forms[Decimal] = whole
    if inspect.TimeType in kinds and inspect.TimeDeltaType not in kinds:
        forms[dt.timedelta] = time_of_day
    if any(isinstance(node, inspect.DateTimeType) and node.tz for node in nodes):
        forms[dt.datetime] = in_utc
    return forms


def bare(hint: Any) -> Any:
    """Return a TypedDict's annotation without what says if it is required."""
    return get_args(hint)[0] if get_origin(hint) in (Required, NotRequired) else hint


def nodes_of(node: inspect.Type) -> list[inspect.Type]:
    """Return msgspec's description of a type, or of those of a union."""
    if isinstance(node, inspect.Metadata):
        return nodes_of(node.type)
    if isinstance(node, inspect.UnionType):
        return [part for member in node.types for part in nodes_of(member)]
    return [node]


def members(text: str) -> list[str]:
    """Return what a SET column has; the form of its values is "a,b"."""
    return text.split(",") if text else []


def refuse(text: str) -> None:
    """Keep msgspec from reading a text as Base64."""
    raise ValidationError("Expected `bytes`, got `str`")


def whole(value: Decimal) -> int | Decimal:
    """Return a SUM of ints as one."""
    return int(value) if value == int(value) else value


def time_of_day(value: dt.timedelta) -> dt.time | dt.timedelta:
    """Return a TIME, which may be longer than a day, and less than nothing."""
    return (dt.datetime.min + value).time() if not value.days else value


def in_utc(value: dt.datetime) -> dt.datetime:
    """Say of a DATETIME what it is in: all are stored in UTC."""
    return value.replace(tzinfo=dt.UTC)
