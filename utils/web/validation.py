"""What a client is told of a field that does not fit."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

import msgspec
from msgspec.structs import astuple

from utils.errors import MalformedError, ParameterError, clip, shorten

WHERE = re.compile(r"(.*) - at (`key` in )?`\$\.?(.*)`", re.DOTALL)
OBJECT = re.compile(r"Object (missing required|contains unknown) field (.+)", re.DOTALL)
SENT = re.compile(r"(Invalid (?:enum )?value) ['\"](.*)['\"]", re.DOTALL)  # what the client sent
NOT_AN_OBJECT = re.compile(r"Expected `object`, got `\w+`")
# Whether a number fits, and what is said of one that does not.
NUMBERS: dict[type, tuple[Callable[[Any], bool], str]] = {
    int: (lambda number: -(1 << 63) <= number < 1 << 64, "the integer does not fit in 64 bits"),
    float: (math.isfinite, "the number is not finite"),
    Decimal: (Decimal.is_finite, "the number is not finite"),
}


def validation_error(error: msgspec.ValidationError) -> MalformedError | ParameterError:
    """Turn msgspec's message, ``Expected `int`, got `str` - at `$.path` ``, around: path first."""
    # msgspec tells the path in no other way. What `__post_init__` raises has its own message.
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
    """Raise ParameterError for a number that JSON's other readers and MySQL do not take."""
    try:
        # A Raw is not looked into: what it holds is the route's own business.
        plain = msgspec.to_builtins(value, builtin_types=[Decimal], enc_hook=lambda raw: None)
        if all_fit(plain):
            return
        path, _, fault = fault_in(value).rpartition(": ")
    except RecursionError:  # here sooner than in the decoder
        raise MalformedError("the body is nested too deeply") from None
    raise ParameterError(f"{clip(path.lstrip('.'), 100)}: {fault}")


def all_fit(plain: Any) -> bool:
    """Return whether all numbers in lists and dicts fit: every request comes through here."""
    left = [plain]
    for value in left:  # it grows meanwhile
        kind = type(value)
        if kind is list:
            left += value
        elif kind is dict:
            left += value
            left += value.values()
        elif kind in NUMBERS and not NUMBERS[kind][0](value):
            return False
    return True


def fault_in(value: Any) -> str:
    """Return path and fault of the first number that does not fit, "" if all do."""
    if type(value) in NUMBERS:
        fits, fault = NUMBERS[type(value)]
        return "" if fits(value) else f": {fault}"
    form, inner_values = inside(value)
    for step, inner in inner_values:
        if fault := fault_in(inner):
            return form.format(step) + fault
    return ""


def inside(value: Any) -> tuple[str, Iterable[tuple[Any, Any]]]:
    """Return the form of a step of the path into this value, and the values there by step."""
    if isinstance(value, msgspec.Struct):
        return ".{}", zip(value.__struct_encode_fields__, astuple(value), strict=True)
    if isinstance(value, dict):
        return "[{!r:.40}]", [*zip(value, value, strict=True), *value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[{}]", enumerate(value)
    if is_dataclass(value):
        return ".{}", [(field.name, getattr(value, field.name)) for field in fields(value)]
    return "", ()
