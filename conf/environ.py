"""Reading a class of settings from the environment, an .env file and secrets' files."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


class SettingsError(ValueError):
    """The settings are wrong; the message has a line for each fault."""


class Secret(str):
    """A text that does not show in a `repr`, so that a log or a traceback cannot tell it."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Mask the text."""
        return "***"


class Setting(NamedTuple):
    """One setting: its NAME, what it is for, and the value with the place it came from."""

    name: str
    meaning: str
    value: Any
    source: str


def load(settings: type[T], environ: Mapping[str, str], dotenv: Mapping[str, str | None]) -> T:
    """Build `settings`, or raise one SettingsError that lists every fault."""
    values, faults = {}, []
    for field in msgspec.structs.fields(settings):
        try:
            values[field.name] = find(settings, field.name, environ, dotenv).value
        except SettingsError as error:
            faults.append(str(error))
    if not faults:
        try:
            return settings(**values)
        except ValueError as error:
            faults.append(str(error))
    raise SettingsError("\n".join(["wrong settings:", *(f"  {fault}" for fault in faults)]))


def find(
    settings: type[T], field: str, environ: Mapping[str, str], dotenv: Mapping[str, str | None]
) -> Setting:
    """Return one setting of the class: the environment wins over .env, .env over the default."""
    name, hint = field.upper(), get_type_hints(settings, include_extras=True)[field]
    kind, meta = get_args(hint)
    for place, texts in (("environment", environ), (".env", dotenv)):
        text, source = texts.get(name), place
        file = texts.get(f"{name}_FILE") if kind is Secret else None
        if text is not None and file is not None:
            raise SettingsError(f"{name}, {name}_FILE: expected one of the two in {place}")
        if file is not None:
            text, source = read_secret(name, file), f"{name}_FILE in {place}"
        if text is not None:
            return Setting(name, meta.description, convert(name, text, hint), source)
    default = next(f for f in msgspec.structs.fields(settings) if f.name == field).default
    if default is msgspec.NODEFAULT:
        raise SettingsError(f"{name} is not set: expected {expected(kind, meta)}")
    return Setting(name, meta.description, default, "default")


def read_secret(name: str, file: str) -> str:
    """Return the file's text without the newline that editors leave at its end."""
    try:
        return Path(file).read_text().rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{name}_FILE={file}: expected a readable file ({error})") from None


def convert(name: str, text: str, hint: Any) -> Any:
    """Return the text as the hint's type."""
    kind, meta = get_args(hint)
    if kind is Secret:
        return Secret(text)
    try:
        value = msgspec.convert(text, hint, strict=False)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError  # msgspec's ValidationError is one too
        return value
    except ValueError:
        raise SettingsError(f"{name}={text!r}: expected {expected(kind, meta)}") from None


def expected(kind: Any, meta: msgspec.Meta) -> str:
    """Say in words what a setting may be."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    words = {int: "an integer", float: "a number", bool: "true or false"}.get(kind, "a text")
    if meta.min_length:
        words += f" of {meta.min_length} or more characters"
    if meta.le is not None:
        return f"{words} from {meta.ge} to {meta.le}"
    if meta.gt is not None:
        return f"{words} above {meta.gt}"
    return words if meta.ge is None else f"{words} from {meta.ge} up"
