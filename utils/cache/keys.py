"""Keys: a pattern such as `order:{shop}:{number}`, and each call's own key made of it."""

import inspect
import re
import sys
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from typing import Any
from urllib.parse import quote
from uuid import UUID

from conf.current import settings

# Their repr is the same in every process, and no two different values share it: it has all of the
# value. Not so a subclass's, which may mask or leave out what it likes.
EXACT_TYPES = (type(None), bool, int, float, str, bytes, Decimal, date, timedelta, UUID)

patterns: dict[str, str] = {}  # of the modules' functions, by the functions' names


def check_pattern(pattern: str, signature: inspect.Signature) -> None:
    """Raise ValueError unless two different calls of a function always have different keys."""
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
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


def prefix() -> str:
    """Return what all keys of this service begin with, for services may share a Redis."""
    return quote(settings.redis.prefix or settings.service_name, safe="")


def key_part(value: Any) -> str:
    """Return a value as a part of a key; TypeError if it has no text that stands for it alone.

    Two different values never share a text, and none has a colon or a #.
    """
    if type(value) is int:
        return str(value)
    if type(value) is str:
        text = quote(value, safe="", errors="surrogatepass")
        # "7" is %37, or else it would be 7's.
        return f"%{ord(text[0]):X}{text[1:]}" if re.fullmatch("-?[0-9]+", text) else text
    return "=" + quote(exact(value), safe="")


def exact(value: Any) -> str:
    """Return a text that has all of the value, and its type."""
    kind = type(value)
    if kind in (tuple, list):
        return f"{kind.__name__}({','.join(map(exact, value))})"
    if isinstance(value, Enum) and is_global(kind):
        return f"{kind.__module__}.{kind.__qualname__}[{value.name or value.value!r}]"
    if kind in EXACT_TYPES or (kind is datetime and type(value.tzinfo) in (type(None), timezone)):
        return repr(value)
    raise TypeError(
        f"{kind.__qualname__} cannot be an argument of a cached function: expected str, int, float,"
        " bool, None, bytes, Decimal, UUID, date, datetime (with an offset, not a zone), timedelta,"
        " an Enum of a module, or a tuple or list of them"
    )


def is_global(kind: type) -> bool:
    """Return whether the class is the one of its name, as pickle has to find it again."""
    try:
        found: object = attrgetter(kind.__qualname__)(sys.modules[kind.__module__])
    except (AttributeError, KeyError):
        return False
    return found is kind
