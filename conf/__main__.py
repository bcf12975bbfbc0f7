"""What `sh run.sh config` prints: every setting, the values of some, or an .env file.

`python -m conf` prints all with value, source and meaning; `python -m conf NAME ...` the values of
some, a line each; `python -m conf --example` the text of .env.example.
"""

import os
import re
import sys
from typing import Any

from msgspec import NODEFAULT

from conf.envfile import read_env_file
from conf.environ import SettingsError, find, load
from conf.setting import Setting, settings_of, unknown_names
from conf.settings import Settings


def show_all() -> None:
    """Print each setting's name, value (secrets masked), source and meaning."""
    env_file = read_env_file()
    load(Settings, os.environ, env_file)
    rows = []
    for setting in settings_of(Settings):
        found = find(setting, os.environ, env_file)
        rows.append((setting.name, shown(setting, found.value), found.source, setting.meaning))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)))
    for name in unknown_names(Settings, os.environ):
        print(f"{name} is set in the environment but is not a setting", file=sys.stderr)


def show_some(names: list[str]) -> None:
    """Print the values of these settings, a line each, also when others are wrong."""
    by_name = {setting.name: setting for setting in settings_of(Settings)}
    for name in names:
        if name not in by_name:
            sys.exit(f"{name} is not a setting; sh run.sh config lists them")
        setting = by_name[name]
        print(shown(setting, find(setting, os.environ, read_env_file()).value))


def show_example() -> None:
    """Print an .env file with every setting, its meaning and its default, all commented out."""
    print("# Copy this to .env and uncomment what you set; the environment wins over it.")
    for setting in settings_of(Settings):
        print(f"\n# {setting.meaning}\n#{setting.name}={written(setting.default)}")


def shown(setting: Setting, value: Any) -> str:
    """Return a setting's value as text; a secret is masked, and what a URL has before the @."""
    return "***" if setting.is_secret else re.sub("//[^/@]*@", "//***@", str(value))


def written(value: Any) -> str:
    """Return a value as one writes it into the environment."""
    if value is NODEFAULT:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


try:
    if sys.argv[1:] == ["--example"]:
        show_example()
    elif sys.argv[1:]:
        show_some(sys.argv[1:])
    else:
        show_all()
except SettingsError as fault:
    sys.exit(str(fault))
