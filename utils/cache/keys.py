"""Keys: a pattern with the arguments' names in braces, and each call's own key made of it."""

import inspect
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from string import Formatter
from typing import Any
from urllib.parse import quote
from uuid import UUID

# Their repr is the same in every process, and no two different values of a type share it. A set's
# is not (its order differs), nor is that of most objects (their address, which is used again).
REPR_TYPES = (type(None), bool, float, bytes, Decimal, date, datetime, time, timedelta, UUID)
FIELD = "\0"
# Splits at the characters that no value has in a key: `quote` leaves these here, and FIELD is ours.
SEPARATOR = re.compile(rf"([^\w.~%={FIELD}-])", re.ASCII)


def check_pattern(pattern: str, signature: inspect.Signature) -> None:
    """Raise ValueError unless two different calls of a function always have different keys."""
    if pattern.endswith(":lock"):
        raise ValueError(f"{pattern}: a key ending in :lock may be that of another one's lock")
    if not {"self", "cls"}.isdisjoint(signature.parameters):
        raise ValueError(f"{pattern}: expected a function: a method's object has no text as a key")
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ValueError(f"{pattern}: expected no *{name}: each argument needs a name")
    fields = [field for field in Formatter().parse(pattern) if field[1] is not None]
    if {name for _, name, _, _ in fields} != {*signature.parameters}:
        raise ValueError(f"{pattern}: expected the name of each argument in braces: {signature}")
    if any(spec or conversion for _, _, spec, conversion in fields):
        raise ValueError(f"{pattern}: expected names alone in braces; a format may shorten values")
    if any(FIELD in part and part != FIELD for part in split(pattern)):
        raise ValueError(f"{pattern}: expected a colon, or the like, before and after each brace")


def split(pattern: str) -> list[str]:
    """Return a pattern's parts and the separators between them; FIELD stands for an argument."""
    text = ""
    for literal, name, _, _ in Formatter().parse(pattern):
        text += literal if name is None else literal + FIELD
    return SEPARATOR.split(text)


def overlap(one: str, other: str) -> bool:
    """Return whether two patterns can make the same key."""
    parts, others = split(one), split(other)
    return len(parts) == len(others) and all(
        part == another or FIELD in (part, another)
        for part, another in zip(parts, others, strict=True)
    )


def key_for(pattern: str, arguments: dict[str, Any]) -> str:
    """Return the key of a call: two different calls never share one, except that 7 and "7" do."""
    return pattern.format_map({name: key_part(value) for name, value in arguments.items()})


def key_part(value: Any) -> str:
    """Return a value as a part of a key; TypeError if it has no text that stands for it alone."""
    if type(value) in (str, int):
        return quote(str(value), safe="", errors="surrogatepass")
    check_repr(value)
    return "=" + quote(repr(value), safe="")


def check_repr(value: Any) -> None:
    """Raise TypeError unless the value's repr stands for it alone."""
    if type(value) in (tuple, list):
        for part in value:
            check_repr(part)
    elif type(value) not in (str, int, *REPR_TYPES) and not isinstance(value, Enum):
        raise TypeError(
            f"{type(value).__qualname__} cannot be an argument of a cached function: "
            "expected str, int, float, bool, None, bytes, Decimal, UUID, dates, enums, tuples"
        )
