"""Reads a class of settings from the environment, an .env file and the files of secrets.

A field is a setting and named in capitals; a field that is a Struct is a group, whose name stands
before those of its fields. `NAME_FILE` names the file that holds a secret, as in Docker's images.
A type may hold a function that checks the value, and raises ValueError("expected ...").
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from conf.envfile import EnvFile

T = TypeVar("T", bound=Struct)

# What Kubernetes puts into the environment for a Service that is called mysql or redis.
SERVICE_LINK = re.compile(r"\w+_SERVICE_(HOST|PORT)\w*|\w+_PORT(_\d+_\w+)?")


class SettingsError(ValueError):
    """The settings are wrong; the message has a line for each fault."""


class Secret(str):
    """A text whose `repr` is masked, so that no log or traceback shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


class Setting(NamedTuple):
    """What can be set: its NAME, its type, the same with limits, its meaning, and its default."""

    name: str
    type: Any
    hint: Any
    meaning: str
    default: Any

    @property
    def expected(self) -> str:
        """Describe the values that are allowed."""
        if get_origin(self.type) is Literal:
            return "one of " + ", ".join(get_args(self.type))
        words = {int: "an integer", float: "a number", bool: "true or false"}.get(
            self.type, "a text"
        )
        least, above, most, length = map(self.limit, ("ge", "gt", "le", "min_length"))
        if length:
            words += f" of {length} or more characters"
        if most is not None:
            return f"{words} from {least} to {most}"
        if above is not None:
            return f"{words} above {above}"
        return words if least is None else f"{words} from {least} up"

    def limit(self, kind: str) -> Any:
        """Return one of the limits, such as `ge`."""
        given = [getattr(meta, kind) for meta in get_args(self.hint) if isinstance(meta, Meta)]
        return next((value for value in given if value is not None), None)


class Found(NamedTuple):
    """A setting's value, and the place that it came from."""

    value: Any
    source: str


def is_group(field: Any) -> bool:
    """Return whether the field holds settings itself."""
    return isinstance(field.type, type) and issubclass(field.type, Struct)


def settings_of(cls: type[Struct], prefix: str = "") -> Iterator[Setting]:
    """Yield the settings of a class and of its groups."""
    for field in msgspec.structs.fields(cls):
        name = prefix + field.name.upper()
        if is_group(field):
            yield from settings_of(field.type, f"{name}_")
        else:
            kind, *extras = get_args(field.type)
            meaning = next(extra for extra in extras if isinstance(extra, str))
            yield Setting(name, kind, field.type, meaning, field.default)


def load(cls: type[T], environ: Mapping[str, str], env_file: EnvFile) -> T:
    """Build the settings, or raise one SettingsError that lists every fault."""
    values, faults = {}, [*env_file.faults, *misspelt(cls, env_file.values)]
    for setting in settings_of(cls):
        try:
            values[setting.name] = find(setting, environ, env_file).value
        except SettingsError as error:
            faults.append(str(error))
    if not faults:
        try:
            return build(cls, values)
        except ValueError as error:  # of a __post_init__, which checks several settings together
            faults.append(str(error))
    raise SettingsError("\n".join(["wrong settings:", *(f"  {fault}" for fault in faults)]))


def names_of(cls: type[Struct]) -> set[str]:
    """Return every name that sets something, those of the files of secrets among them."""
    settings = list(settings_of(cls))
    return {s.name for s in settings} | {f"{s.name}_FILE" for s in settings if s.type is Secret}


def unknown_names(cls: type[Struct], given: Iterable[str]) -> list[str]:
    """Return the names that begin as those of a group do, MYSQL_ for one, and set nothing."""
    prefixes = tuple(f"{f.name.upper()}_" for f in msgspec.structs.fields(cls) if is_group(f))
    unknown = sorted(set(given) - names_of(cls))
    return [n for n in unknown if n.startswith(prefixes) and not SERVICE_LINK.fullmatch(n)]


def misspelt(cls: type[Struct], given: Iterable[str]) -> Iterator[str]:
    """Yield a line for each name of an .env file that looks like a setting and is none."""
    names, unknown = names_of(cls), unknown_names(cls, map(str.upper, given))
    for name in sorted(set(given) - names):
        nearest = get_close_matches(name.upper(), names, n=1, cutoff=0.75)
        if nearest or name.upper() in unknown:
            hint = f"did you mean {nearest[0]}?" if nearest else "see sh run.sh config"
            yield f".env: {name} is no setting; {hint}"


def build(cls: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """Build a class of settings, its groups first."""
    fields = {}
    for field in msgspec.structs.fields(cls):
        name = prefix + field.name.upper()
        fields[field.name] = (
            build(field.type, values, f"{name}_") if is_group(field) else values[name]
        )
    return cls(**fields)


def find(setting: Setting, environ: Mapping[str, str], env_file: EnvFile) -> Found:
    """Find a setting's value: the environment wins over .env, .env over the default."""
    name = setting.name
    for place, texts in (("environment", environ), (".env", env_file.values)):
        text, source = texts.get(name), place
        file = texts.get(f"{name}_FILE") if setting.type is Secret else None
        if text is not None and file is not None:
            raise SettingsError(f"{name}, {name}_FILE: expected only one of them in {place}")
        if file is not None:
            text, source = read_secret(name, file), f"{name}_FILE in {place}"
        if text is not None:
            return Found(convert(setting, text), source)
    if setting.default is msgspec.NODEFAULT:
        raise SettingsError(f"{name} is not set: expected {setting.expected}")
    return Found(setting.default, "default")


def read_secret(name: str, file: str) -> str:
    """Return the file's text without the newline that editors leave at its end."""
    try:
        return Path(file).read_text().rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{name}_FILE={file}: expected a readable file ({error})") from None


def convert(setting: Setting, text: str) -> Any:
    """Return the text as the setting's type."""
    if setting.type is Secret:
        return Secret(text)
    try:
        value = msgspec.convert(text, setting.hint, strict=False)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError  # msgspec's ValidationError is one too
    except ValueError:
        raise SettingsError(f"{setting.name}={text!r}: expected {setting.expected}") from None
    for check in filter(callable, get_args(setting.hint)[1:]):
        try:
            check(value)
        except ValueError as error:
            raise SettingsError(f"{setting.name}={text!r}: {error}") from None
    return value
