"""`python -m conf` prints every setting; `python -m conf NAME ...` the values of some."""

import os
import sys
from typing import Any

import msgspec

from conf.environ import SettingsError, find, load
from conf.settings import DOTENV, Settings


def show() -> None:
    """Print each setting's name, value (secrets masked), source and meaning."""
    load(Settings, os.environ, DOTENV)
    rows = [find(Settings, f.name, os.environ, DOTENV) for f in msgspec.structs.fields(Settings)]
    cells = [(row.name, shown(row.value), row.source, row.meaning) for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)))


def show_some(names: list[str]) -> None:
    """Print the values of these settings, a line each; faults of others do not matter."""
    for name in names:
        print(shown(find(Settings, name.lower(), os.environ, DOTENV).value))


def shown(value: Any) -> str:
    """Return a setting's value as text, a secret masked."""
    return value if type(value) is str else repr(value)


try:
    show_some(sys.argv[1:]) if sys.argv[1:] else show()
except SettingsError as fault:
    sys.exit(str(fault))
