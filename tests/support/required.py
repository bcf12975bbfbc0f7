"""Values for the settings of a service's own that have no default: without them nothing starts."""

from typing import Literal, get_args, get_origin

from msgspec import NODEFAULT, Meta

from conf.setting import Setting, settings_of
from conf.settings import Settings


def required_settings() -> dict[str, str]:
    """Return some value for each of them, by its NAME."""
    return {
        setting.name: some_value(setting)
        for setting in settings_of(Settings)
        if setting.default is NODEFAULT
    }


def some_value(setting: Setting) -> str:
    if get_origin(setting.type) is Literal:
        return str(get_args(setting.type)[0])
    if setting.type is bool:
        return "true"
    if setting.type not in (int, float):
        return "x" * max(8, lowest(setting, "min_length"))
    return str(max(lowest(setting, "ge"), lowest(setting, "gt") + 1))


def lowest(setting: Setting, limit: str) -> int:
    limits = [getattr(meta, limit) for meta in get_args(setting.hint) if isinstance(meta, Meta)]
    return max([int(value) for value in limits if value is not None], default=0)
