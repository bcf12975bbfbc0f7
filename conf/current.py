"""The settings of this process, read once; a wrong one ends it with a message."""

import os

from conf.envfile import read_env_file
from conf.environ import SettingsError, load
from conf.settings import Settings

try:
    settings = load(Settings, os.environ, read_env_file())
except SettingsError as error:
    raise SystemExit(str(error)) from None
