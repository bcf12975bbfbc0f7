"""How the fields of a request become an api class: always through one JSON decoder of its type.

Queries and the values in a path join the body as JSON, rather than the body being read into
Python values first: a Decimal keeps its digits, a Raw its bytes, and no route makes a difference.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from inspect import signature
from typing import Any

import msgspec
from msgspec import UNSET, Raw, inspect

from conf.current import settings
from utils.codec import JSON_ERRORS, check_utf8, encode
from utils.errors import ParameterError, ServiceError
from utils.web.body import not_json
from utils.web.validation import check_numbers, validation_error
from utils.web.work import FREE, WorkLimit

Query = Mapping[str, Sequence[str]]  # all values of each name
Values = Mapping[str, Any]

ARRAYS = (inspect.CollectionType, inspect.TupleType, inspect.NamedTupleType)
NOTHING = Raw()  # a field that was not sent
OUT_OF_RANGE = (ValueError, OverflowError)  # msgspec lets Python's own through for year 10000
VALUES = settings.max_body_values


class FieldDecoder:
    """Builds one api class. Old clients send numbers as strings: these are read too (lax mode)."""

    def __init__(self, api: type[Any]) -> None:
        fields = msgspec.structs.fields(api)
        kinds = {field.encode_name: inspect.type_info(field.type) for field in fields}
        self.arrays = {name for name, kind in kinds.items() if takes_array(kind)}
        self.work = {name: WorkLimit(kind) for name, kind in kinds.items()}
        self.signature = signature(api)
        self.decode_json = msgspec.json.Decoder(api, strict=False).decode
        self.json_names = names = {field.name: field.encode_name for field in fields}
        # The same class with its fields as JSON: what nobody knows is skipped, nothing is built.
        unread = msgspec.defstruct(
            api.__name__,
            [(name, Raw, NOTHING) for name in names],
            rename=names,
            forbid_unknown_fields=api.__struct_config__.forbid_unknown_fields,
        )
        self.split = msgspec.json.Decoder(unread).decode
        types = {field.name: field.type for field in fields}
        self.echoed = [
            (name, names[name], msgspec.json.Decoder(types[name], strict=False).decode)
            for name in api.echoed
        ]

    def decode(self, sent: bytes | Query, path_params: Values, limit: int = VALUES) -> Any:
        """Build the api class from a JSON body or a query, and what the path has instead of them.

        Raises MalformedError where there is no JSON object, ParameterError that names the field,
        and a 413 if a field is more work than `limit` simple values.
        """
        try:
            instance = self.decode_json(self.as_json(sent, path_params, limit))
        except msgspec.ValidationError as error:
            raise validation_error(error) from None
        except JSON_ERRORS as error:
            raise not_json(sent, error) from None
        except OUT_OF_RANGE:
            raise ParameterError("a date is out of range") from None
        check_numbers(instance)
        return instance

    def as_json(self, sent: bytes | Query, path_params: Values, limit: int) -> bytes:
        """Return all that was sent as one JSON object."""
        if isinstance(sent, bytes) and not path_params and len(sent) < FREE:
            return check_utf8(sent)
        members = self.members(sent, path_params)
        for name, json_name in self.json_names.items():
            value = members.get(json_name)
            if isinstance(value, Raw):
                self.work[json_name].check(bytes(value), limit)
            elif isinstance(value, list) and not (json_name in self.arrays or name in path_params):
                raise ParameterError(f"{json_name}: given {len(value)} times, expected one value")
        return encode(members)

    def members(self, sent: bytes | Query, path_params: Values) -> dict[str, Any]:
        """Return all that was sent by its JSON names."""
        members: dict[str, Any]
        if isinstance(sent, bytes):
            fields = self.split(check_utf8(sent))
            raws = {json: getattr(fields, name) for name, json in self.json_names.items()}
            members = {name: raw for name, raw in raws.items() if raw is not NOTHING}
        else:
            members = {
                name: values[0] if len(values) == 1 and name not in self.arrays else values
                for name, values in sent.items()
            }
        for name, value in path_params.items():
            if value is not UNSET:
                # inf would be JSON's null, which an optional field would take.
                infinite = isinstance(value, float) and not math.isfinite(value)
                members[self.json_names.get(name, name)] = str(value) if infinite else value
        return members

    def echo(self, instance: Any) -> dict[str, Raw]:
        """Return the fields that stand first in the answer, by their JSON names, as JSON."""
        # Encoded before `process()`: after it, a fault would fail a write that is done.
        values = {json_name: getattr(instance, name) for name, json_name, _ in self.echoed}
        return {name: Raw(encode(value)) for name, value in values.items() if value is not UNSET}

    def readable_echo(self, sent: bytes | Query, path_params: Values) -> dict[str, Raw]:
        """Return those fields of a refused request that can be read, if they are not long."""
        members, readable = {}, {}
        with suppress(*JSON_ERRORS):
            members = self.members(sent, path_params) if self.echoed else {}
        for _, name, decode in self.echoed:
            text = encode(members.get(name, NOTHING))
            with suppress(ServiceError, *OUT_OF_RANGE, *JSON_ERRORS):
                value = decode(text if len(text) < FREE else b"")
                check_numbers(value)
                readable[name] = Raw(encode(value))
        return readable


decoder_of = cache(FieldDecoder)


def takes_array(kind: inspect.Type) -> bool:
    """Return whether a value of this type is, or may be, an array in JSON."""
    if isinstance(kind, inspect.Metadata):
        return takes_array(kind.type)
    if isinstance(kind, inspect.UnionType):
        return any(takes_array(part) for part in kind.types)
    return isinstance(kind, ARRAYS) or (isinstance(kind, inspect.StructType) and kind.array_like)
