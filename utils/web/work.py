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
SEPARATORS = bytes.maketrans(b"[]{}:", b",,,,,")
# Near the ends of a float's range, msgspec takes 8 µs a number. And a client can choose integers
# of 20 digits that have the same hash.
COSTLY = re.compile(rb",-?(?:\d++(?:\.\d{100}|(?:\.\d++)?[eE][+-]?\d{3})|\d{20})[\d.eE+-]*+(?=,)")
COSTLY_NUMBER = 25  # in simple values
SETS = (inspect.SetType, inspect.FrozenSetType)
# What has the same hash makes a set quadratic. Of these types even short values can be chosen so.
COLLIDING = (
    inspect.UUIDType,
    inspect.DecimalType,
    inspect.TupleType,
    inspect.VarTupleType,
    inspect.NamedTupleType,
    inspect.StructType,
)
COLLIDING_MEMBER = 50


class WorkLimit:
    """Refuses JSON that is too much work to build as a value of this type."""

    def __init__(self, type_info: inspect.Type) -> None:
        kinds = list(types_in(type_info))
        sets = [kind.item_type for kind in kinds if isinstance(kind, SETS)]
        keys = [kind.key_type for kind in kinds if isinstance(kind, inspect.DictType)]
        hashed = list(types_in((*sets, *keys)))
        self.is_raw = isinstance(type_info, inspect.RawType)  # the route's own work
        self.cost = COLLIDING_MEMBER if has(hashed, *COLLIDING) else 1
        # Numbers may come as strings. Where none is read, they are none: parcels have 20 digits.
        self.reads_strings = has(kinds, inspect.FloatType) or has(
            hashed, inspect.IntType, inspect.DecimalType
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
        if (number := json.count(b'"') // 2) > 2 * limit:  # a value is at most two, with its key
            return number
        pieces = json.split(b'"')  # every second one is a string
        outside = b"".join(pieces[::2]).translate(None, b" \t\r\n")
        work = self.cost * (outside.count(b",") + outside.count(b"[") + outside.count(b"{"))
        if work > limit:
            return work
        numbers = costly_numbers(outside.translate(SEPARATORS))
        if self.reads_strings:
            strings = b'"'.join(pieces[1::2]).replace(b",", b" ").replace(b'"', b",")
            numbers += costly_numbers(strings)
        return work + COSTLY_NUMBER * numbers


def costly_numbers(tokens: bytes) -> int:
    """Return how many of these tokens, with commas between, are costly numbers."""
    # One regular expression for all: a list of 45,000 tokens took 10 ms, more than what it avoids.
    return len(COSTLY.findall(b"," + tokens + b","))


def has(kinds: list[Any], *wanted: type) -> bool:
    return any(isinstance(kind, wanted) for kind in kinds)


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
