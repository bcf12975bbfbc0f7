"""The columns of a class: what makes a value from MySQL fit the type of its field."""

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
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
    try:
        fields = [(f.name, f.encode_name, f.type) for f in msgspec.structs.fields(into)]
    except TypeError:  # it is no Struct
        if names:
            hints = dict.fromkeys(names, get_args(into)[1])
        else:
            hints = get_type_hints(get_origin(into) or into, include_extras=True)
        fields = [(name, name, hint) for name, hint in hints.items()]
    columns = [column(*field) for field in fields]
    read_wrong = {str, bytes, dt.datetime}
    plain = all(c.key == c.name and read_wrong.isdisjoint(c.forms) for c in columns)
    return columns, plain


def column(name: str, key: str, annotation: Any) -> Column:
    if get_origin(annotation) in (Required, NotRequired):  # of a TypedDict
        (annotation,) = get_args(annotation)
    return Column(name, key, annotation, forms_of(annotation))


def forms_of(annotation: Any) -> dict[type, Form]:
    """Return what makes values of these types fit a type that has none of them."""
    nodes = nodes_of(inspect.type_info(annotation))
    kinds = set(map(type, nodes))
    decode = msgspec.json.Decoder(annotation).decode
    forms: dict[type, Form] = {}
    if kinds & DOCUMENTS:
        forms |= {str: decode, bytes: decode}
    if kinds & SETS:  # a SET has the form "a,b"
        forms[str] = lambda text: decode(text) if text.lstrip()[:1] == "[" else members(text)
    if kinds & BYTES:  # msgspec would take a text for Base64
        forms |= {str: forms.get(str, refuse), bytes: bytes}
    if kinds & TEXTS:
        forms.pop(str, None)
    if inspect.IntType in kinds and inspect.DecimalType not in kinds:  # a SUM of ints
        forms[Decimal] = lambda number: int(number) if number == int(number) else number
    if inspect.TimeType in kinds and inspect.TimeDeltaType not in kinds:  # or -30 hours
        forms[dt.timedelta] = lambda time: time if time.days else (dt.datetime.min + time).time()
    if any(isinstance(node, inspect.DateTimeType) and node.tz for node in nodes):
        forms[dt.datetime] = lambda stored: stored.replace(tzinfo=dt.UTC)
    return forms


def members(text: str) -> list[str]:
    return text.split(",") if text else []


def refuse(text: str) -> None:
    raise ValidationError("Expected `bytes`, got `str`")


def nodes_of(node: inspect.Type) -> list[inspect.Type]:
    """Return msgspec's description of a type, or of those of a union."""
    if isinstance(node, inspect.Metadata):
        return nodes_of(node.type)
    if isinstance(node, inspect.UnionType):
        return [part for member in node.types for part in nodes_of(member)]
    return [node]
