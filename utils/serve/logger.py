"""gunicorn's logger, whose lines go where ours go."""

from typing import Any

import gunicorn.glogging


class Logger(gunicorn.glogging.Logger):
    """Sets up our logs before gunicorn's first line, and opens their files anew at a USR1."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.log().setup()

    def reopen_files(self) -> None:
        super().reopen_files()
        self.log().reopen()

    @staticmethod
    def log() -> Any:
        """Return the module of our logs, at each call: a reload of the master imports it anew."""
        from utils import log  # noqa: PLC0415

        return log
