"""What a client is told of a field that does not fit."""

import dataclasses
import math
import re
from collections.abc import Collection, Iterable
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
from msgspec.structs import astuple

from utils.errors import MalformedError, ParameterError, clip, shorten

WHERE = re.compile(r"(.*) - at (`key` in )?`\$\.?(.*)`", re.DOTALL)
OBJECT = re.compile(r"Object (missing required|contains unknown) field (.+)", re.DOTALL)
SENT = re.compile(r"(Invalid (?:enum )?value) ['\"](.*)['\"]", re.DOTALL)  # what the client sent
ARRAYS = (list, tuple, set, frozenset)
NOT_AN_OBJECT = re.compile(r"Expected `object`, got `\w+`")


def validation_error(error: msgspec.ValidationError) -> MalformedError | ParameterError:
    """Turn msgspec's message, ``Expected `int`, got `str` - at `$.path` ``, around: path first.

    msgspec tells the path in no other way. What `__post_init__` raises has its own message.
    """
    text = str(error)
    if NOT_AN_OBJECT.fullmatch(text):
        return MalformedError("the body is not a JSON object")
    where = WHERE.fullmatch(text)
    what, is_key, path = where.groups() if where else (text, None, "")
    what = what.replace("`", "") or "invalid value"
    if invalid := SENT.fullmatch(what):
        what = f"{invalid[1]} {shorten(invalid[2])}"
    if field := OBJECT.fullmatch(what):
        path = f"{path}.{clip(field[2], 40)}".lstrip(".")
        what = "missing" if field[1] == "missing required" else "unknown field"
    if not path:
        return ParameterError(what)
    if what[1:2].islower():
        what = what[0].lower() + what[1:]
    return ParameterError(f"{clip(path, 100)}: {'in a key: ' if is_key else ''}{what}")


def check_numbers(value: Any) -> None:
    """Raise ParameterError for a number in this value that no 64 bits hold, or that is not finite.

    JSON's other readers and MySQL take none of them.
    """
    try:
        fault = unfit_number(value)
    except RecursionError:  # here sooner than in msgspec
        raise MalformedError("the body is nested too deeply") from None
    if fault:
        path, _, what = fault.rpartition(": ")
        raise ParameterError(f"{clip(path.lstrip('.'), 100)}: {what}")


def unfit_number(value: Any) -> str:
    """Return path and fault of the first unfit number, "" if all are fit.

    Every request comes through here: a path is made only of what is refused.
    """
    if isinstance(value, int):
        fits = -(1 << 63) <= value < 1 << 64
        return "" if fits else ": the integer does not fit in 64 bits"
    if isinstance(value, (float, Decimal)):
        finite = value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
        return "" if finite else ": the number is not finite"
    if isinstance(value, ARRAYS) and all_fit(value):
        return ""
    if isinstance(value, dict) and all_fit(value.keys()) and all_fit(value.values()):
        return ""
    form, inner_values = inside(value)
    for step, inner in inner_values:
        if may_hold_numbers(inner.__class__) and (fault := unfit_number(inner)):
            return form.format(step) + fault
    return ""


def all_fit(values: Collection[Any]) -> bool:
    """Return whether these are of one kind and fit, in a tenth of the time."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return not (unfit_number(min(values)) or unfit_number(max(values)))
    if kinds == {float}:
        return all(map(math.isfinite, values))
    if kinds == {Decimal}:
        return all(map(Decimal.is_finite, values))
    return not any(map(may_hold_numbers, kinds))


@cache
def may_hold_numbers(kind: type) -> bool:
    """Return whether a value of this type is a number or may have one in it."""
    holders = (int, float, Decimal, *ARRAYS, dict, msgspec.Struct)
    return kind is not bool and (issubclass(kind, holders) or dataclasses.is_dataclass(kind))


def inside(value: Any) -> tuple[str, Iterable[tuple[Any, Any]]]:
    """Return the form of a step of the path into this value, and the values there by step."""
    if isinstance(value, msgspec.Struct):
        return ".{}", zip(value.__struct_encode_fields__, astuple(value), strict=True)
    if isinstance(value, dict):
        return "[{!r:.40}]", [*zip(value, value, strict=True), *value.items()]
    if isinstance(value, ARRAYS):
        return "[{}]", enumerate(value)
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return ".{}", [(name, getattr(value, name)) for name in names]
    return "", ()
