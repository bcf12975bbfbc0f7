"""gunicorn's logger, whose lines go where ours go."""

from importlib import import_module
from typing import Any

import gunicorn.glogging


class Logger(gunicorn.glogging.Logger):
    """Sets up our logs at the start and at a reload, and opens their files anew at a USR1.

    It imports them at each call: since a reload they may be other modules.
    """

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        import_module("utils.log").setup()

    def reopen_files(self) -> None:
        super().reopen_files()
        import_module("utils.log").reopen()
