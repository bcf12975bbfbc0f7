"""The settings of this process, read once; a wrong one ends it with a message."""

import os

from conf.environ import SettingsError, dotenv, load
from conf.settings import Settings

try:
    settings = load(Settings, os.environ, dotenv())
except SettingsError as error:
    raise SystemExit(str(error)) from None
