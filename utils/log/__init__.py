"""Logs: `logger` for a line of your own, `setup` for a process that begins."""

from utils.log.files import logger, setup

__all__ = ["logger", "setup"]
