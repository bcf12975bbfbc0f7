"""The settings of this process, read once; a wrong one ends it with a message."""

import os

from conf.envfile import read_env_file
from conf.environ import SettingsError, find, load
from conf.setting import settings_of
from conf.settings import Settings

env_file = read_env_file()
try:
    settings = load(Settings, os.environ, env_file)
except SettingsError as error:
    raise SystemExit(str(error)) from None


def read_again(name: str, known: str) -> str:
    """Return a secret as its file has it by now; `known` if it is in none or cannot be read.

    A password may change while the service runs: whoever logs in asks for the present one.
    """
    (setting,) = [each for each in settings_of(Settings) if each.name == name]
    try:
        found = find(setting, os.environ, env_file)
    except SettingsError:
        return known
    return str(found.value) if "_FILE in " in found.source else known
