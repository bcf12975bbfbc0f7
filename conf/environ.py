"""Reads a class of settings from the environment, an .env file and the files of secrets.

`NAME_FILE` names the file that holds a secret, as in Docker's images. No message repeats a value:
what cannot be used may well be a secret that stands in the wrong place.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

import msgspec

from conf.envfile import EnvFile
from conf.setting import Secret, Setting, is_group, settings_of
from conf.url import read

T = TypeVar("T", bound=msgspec.Struct)


class SettingsError(ValueError):
    """The settings are wrong; the message has a line for each fault."""


class Found(NamedTuple):
    """A setting's value, and the place that it came from."""

    value: Any
    source: str


def load(cls: type[T], environ: Mapping[str, str], env_file: EnvFile) -> T:
    """Build the settings, or raise one SettingsError that lists every fault."""
    values, faults = {}, [*env_file.faults]
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
    lines = [f"  {fault}" for fault in dict.fromkeys(faults)]  # a URL's is that of many settings
    raise SettingsError("\n".join(["wrong settings:", *lines]))


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
    """Find a setting's value: the environment wins over .env, .env over the default.

    What its group's URL sets may not be given beside it, in whichever place.
    """
    name, found = setting.name, given(setting, environ, env_file)
    if setting.url and (url := given(setting.url, environ, env_file)) and url.value:
        parts, source = read_url(setting.url, url)
        part = name.removeprefix(setting.url.name.removesuffix("URL"))
        if found and part in parts:
            raise SettingsError(f"{name}, {setting.url.name}: expected only one of them")
        found = Found(parts[part], source) if parts.get(part) is not None else found
    if found:
        return Found(convert(setting, found.value, f"{name} in {found.source}"), found.source)
    if setting.default is msgspec.NODEFAULT:
        raise SettingsError(f"{name} is not set: expected {setting.expected}")
    return Found(setting.default, "default")


def given(setting: Setting, environ: Mapping[str, str], env_file: EnvFile) -> Found | None:
    """Return a setting's text, or that of its file, as it stands in the first place that has it."""
    name = setting.name
    for place, texts in (("environment", environ), (".env", env_file.values)):
        text = texts.get(name)
        file = texts.get(f"{name}_FILE") if setting.is_secret else None
        if text is not None and file is not None:
            raise SettingsError(f"{name}, {name}_FILE: expected only one of them in {place}")
        if file is not None:
            source = f"{name}_FILE in {place}"
            return Found(read_secret(file, source), source)
        if text is not None:
            return Found(text, place)
    return None


def read_url(setting: Setting, url: Found) -> tuple[dict[str, str | None], str]:
    """Return what the URL of a group sets, and what to call that place."""
    name, source = setting.name, url.source
    source = source if source.startswith(name) else f"{name} in {source}"
    try:
        return read(setting.forms, url.value), source
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from None


def read_secret(file: str, name: str) -> str:
    """Return the file's text without the newline that editors leave at its end."""
    try:
        return Path(file).read_text().rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        raise SettingsError(f"{name}: expected the path of a readable file ({reason})") from None


def convert(setting: Setting, text: str, name: str) -> Any:
    """Return the text as the setting's type; `name` is what a message calls the setting."""
    if setting.is_secret:
        return Secret(text)
    if not text.isprintable():  # it is shown on terminals, and stands in files of lines
        raise SettingsError(f"{name}: expected one line of printable characters")
    try:
        value = msgspec.convert(text, setting.hint, strict=False)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError  # msgspec's ValidationError is one too
    except ValueError:
        raise SettingsError(f"{name}: expected {setting.expected}") from None
    for check in filter(callable, get_args(setting.hint)[1:]):
        try:
            check(value)
        except ValueError as error:
            raise SettingsError(f"{name}: {error}") from None
    return value
