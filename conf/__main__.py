"""`python -m conf` prints every setting; `python -m conf NAME ...` the values of some."""

import os
import sys
from typing import Any

from conf.environ import Secret, SettingsError, dotenv, find, load, settings_of
from conf.settings import Settings


def show_all() -> None:
    """Print each setting's name, value (secrets masked), source and meaning."""
    load(Settings, os.environ, dotenv())
    rows = []
    for setting in settings_of(Settings):
        found = find(setting, os.environ, dotenv())
        rows.append((setting.name, shown(found.value), found.source, setting.meaning))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)))


def show_some(names: list[str]) -> None:
    """Print the values of these settings, a line each, also when others are wrong."""
    by_name = {setting.name: setting for setting in settings_of(Settings)}
    for name in names:
        print(shown(find(by_name[name], os.environ, dotenv()).value))


def shown(value: Any) -> str:
    """Return a setting's value as text, a secret masked."""
    return repr(value) if isinstance(value, Secret) else str(value)


try:
    if sys.argv[1:]:
        show_some(sys.argv[1:])
    else:
        show_all()
except SettingsError as fault:
    sys.exit(str(fault))
