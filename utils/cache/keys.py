"""Keys: a pattern such as `order:{shop}:{number}`, and each call's own key made of it."""

import inspect
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import quote
from uuid import UUID

# Their repr is the same in every process, and no two different values of a type share it. A set's
# is not (its order differs), nor is that of most objects (their address, which is used again).
REPR_TYPES = (type(None), bool, float, bytes, Decimal, date, datetime, time, timedelta, UUID)

patterns: dict[str, str] = {}  # of the modules' functions, by the functions' names


def check_pattern(pattern: str, signature: inspect.Signature) -> None:
    """Raise ValueError unless two different calls of a function always have different keys."""
    for name, parameter in signature.parameters.items():
        if name == "self" or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ValueError(f"{pattern}: {name} cannot be in a key: expected named arguments")
    braces = {part for part in pattern.split(":") if "{" in part or "}" in part}
    if braces != {f"{{{name}}}" for name in signature.parameters}:
        raise ValueError(f"{pattern}: expected each argument between colons, as in a:{{b}}:{{c}}")
    if "#" in pattern:
        raise ValueError(f"{pattern}: expected no #: locks have it in their keys")


def claim(pattern: str, name: str) -> None:
    """Raise ValueError if another function can have the same keys: they would mix their results."""
    for other, taken in patterns.items():
        if other != name and overlap(taken, pattern):
            raise ValueError(f"{pattern}: {other} may have such a key already: {taken}")
    patterns[name] = pattern


def overlap(one: str, other: str) -> bool:
    """Return whether two patterns can make the same key."""
    parts, others = one.split(":"), other.split(":")
    pairs = zip(parts, others, strict=False)
    return len(parts) == len(others) and all(a == b or "{" in a + b for a, b in pairs)


def lock_key(key: str) -> str:
    """Return the key of the lock beside a value's key. No value has it: no pattern has a #."""
    return f"{key}#lock"


def key_part(value: Any) -> str:
    """Return a value as a part of a key; TypeError if it has no text that stands for it alone.

    Two different values never share a text, except that 7 and "7" do; and none has a colon or #.
    """
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
