"""How much work it is to build a JSON value: bounded beforehand, for all other requests wait.

msgspec skips 1 MB in a millisecond, but takes up to 1.6 s to build what is in it.
"""

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, inspect
from msgspec.structs import astuple

from utils.errors import HTTPError

FREE = 1 << 13  # bytes; a shorter text is little work, whatever is in it
# Near the ends of a float's range, msgspec takes 8 µs a number. And a client can choose long
# integers that have the same hash, which makes a set of them quadratic.
COSTLY = re.compile(rb"-?(?:\d++(?:\.\d{100}|(?:\.\d++)?[eE][+-]?\d{3})|\d{20})[\d.eE+-]*+")
COMMAS = bytes.maketrans(b"[]{}:", b",,,,,")
COST = 25  # of one, in simple values; each of its digits is one more

COLLIDING = (  # short ones, too, can have the same hash
    inspect.UUIDType,
    inspect.TupleType,
    inspect.VarTupleType,
    inspect.NamedTupleType,
    inspect.StructType,
)


class WorkLimit:
    """Refuses JSON that is too much work to build as a value of this type."""

    def __init__(self, type_info: inspect.Type) -> None:
        kinds = list(types_in(type_info))
        self.is_raw = isinstance(type_info, inspect.RawType)  # the route's own work
        hashed = [kind for outer in kinds for kind in types_in(hashed_type(outer))]
        self.cost = 50 if any(isinstance(kind, COLLIDING) for kind in hashed) else 1
        # Numbers may come as strings. Where none is read, they are none: parcels have 20 digits.
        self.reads_strings = any(isinstance(kind, inspect.FloatType) for kind in kinds) or any(
            not isinstance(kind, (inspect.StrType, inspect.AnyType)) for kind in hashed
        )

    def check(self, json: bytes, limit: int) -> None:
        """Raise a 413 if it is more work than so many simple values."""
        if len(json) < FREE or self.is_raw:
            return
        if self.work(json.replace(rb"\\", b"").replace(rb"\"", b""), limit) > limit:
            detail = f"JSON as much work as more than {limit} values"
            raise HTTPError("request entity too large", status=413, detail=detail)

    def work(self, json: bytes, limit: int) -> int:
        """Return the work of JSON without escaped quotes; above the limit, how far is left open."""
        strings = json.count(b'"') // 2
        if strings > 2 * limit:  # a value is at most two, with its key
            return strings
        pieces = json.split(b'"')
        outside = b"".join(pieces[::2]).translate(None, b" \t\r\n")
        work = self.cost * (outside.count(b",") + outside.count(b"[") + outside.count(b"{"))
        if work > limit:
            return work
        tokens = outside.translate(COMMAS).split(b",")
        tokens += pieces[1::2] if self.reads_strings else []
        long = [token for token in tokens if len(token) >= 20 or b"e" in token or b"E" in token]
        return work + sum(COST + len(token) for token in long if COSTLY.fullmatch(token))


def types_in(kind: Any) -> Iterator[Any]:
    """Yield a type of msgspec.inspect, and all types in it."""
    seen, left = set(), [kind]
    while left:
        item = left.pop()
        if isinstance(item, tuple):
            left.extend(item)
        elif isinstance(item, Struct) and id(item) not in seen:
            seen.add(id(item))
            yield item
            left.extend(astuple(item))


def hashed_type(kind: Any) -> Any:
    """Return the type of which a set or a dict makes hashes, None for other types."""
    if isinstance(kind, (inspect.SetType, inspect.FrozenSetType)):
        return kind.item_type
    return kind.key_type if isinstance(kind, inspect.DictType) else None
