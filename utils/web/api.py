"""The base of the api classes: an instance is a checked request, `process()` answers it."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeVar

import msgspec

from utils.codec import JSON_ERRORS, check_utf8
from utils.errors import MalformedError, ParameterError

A = TypeVar("A", bound="Api")
Fields = bytes | Mapping[str, Any]


class Api(msgspec.Struct, kw_only=True):
    """A request whose annotations are its fields; a default makes a field optional.

    `echoed` names the fields that stand first in every answer.
    """

    echoed: ClassVar[tuple[str, ...]] = ()

    def process(self) -> Any:
        """Return what becomes `data`, or raise a ServiceError."""
        raise NotImplementedError


def parse(api: type[A], fields: Fields, values: Mapping[str, Any]) -> A:
    """Build the request from a JSON body or a query's `fields` and the path's `values`.

    Old clients send numbers as strings, so these are read too (msgspec's lax mode).
    Raises MalformedError where there is no JSON object, ParameterError that names the field.
    """
    try:
        if isinstance(fields, bytes) and not values:
            request = msgspec.json.decode(check_utf8(fields), type=api, strict=False)
        else:
            request = msgspec.convert({**as_mapping(fields), **values}, api, strict=False)
    except msgspec.ValidationError as error:
        raise validation_error(error) from None
    except RecursionError:
        raise MalformedError("the body is nested too deeply") from None
    except JSON_ERRORS as error:
        raise MalformedError(f"the body is not JSON: {error}") from None
    for path, fault in unfit_numbers(request, ""):
        raise ParameterError(f"{path}: {fault}")
    return request


def echo(api: type[Api], fields: Fields, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those echoed fields of a refused request that can be read."""
    readable: dict[str, Any] = {}
    try:
        sent = {**as_mapping(fields), **values} if api.echoed else {}
    except (*JSON_ERRORS, TypeError):
        return readable
    for field in msgspec.structs.fields(api):
        if field.name in api.echoed and field.name in sent:
            try:
                value = msgspec.convert(sent[field.name], field.type, strict=False)
            except msgspec.ValidationError:
                continue
            if not any(unfit_numbers(value, "")):
                readable[field.name] = value
    return readable


def as_mapping(fields: Fields) -> Mapping[str, Any]:
    """Return the fields by name."""
    if isinstance(fields, bytes):
        return msgspec.json.decode(check_utf8(fields), type=dict[str, Any])
    return fields


def validation_error(error: msgspec.ValidationError) -> MalformedError | ParameterError:
    """Turn msgspec's message, `what - at `$.path``, into one that opens with the field."""
    what, _, path = str(error).partition(" - at `$")
    path, what = path.rstrip("`").lstrip("."), what.replace("`", "")
    if missing := re.fullmatch(r"Object missing required field (.+)", what):
        return ParameterError(f"{path}.{missing[1]}: missing".lstrip("."))
    if not path:
        return MalformedError("the body is not a JSON object")
    return ParameterError(f"{path}: {what[0].lower()}{what[1:]}")


def unfit_numbers(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield where in the value a number is that no 64 bits hold, or that is not finite."""
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            yield path, "the integer does not fit in 64 bits"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, "the number is not finite"
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from unfit_numbers(getattr(value, name), f"{path}.{name}".lstrip("."))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from unfit_numbers(inner, f"{path}[{key!r}]")
    elif isinstance(value, (list, tuple, set, frozenset)):
        for index, inner in enumerate(value):
            yield from unfit_numbers(inner, f"{path}[{index}]")
