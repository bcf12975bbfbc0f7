"""Logs: `logger` for a line of your own; the rest is for the processes that serve."""

from utils.log.configure import check, logger, reopen, setup
from utils.log.console import bound_console

__all__ = ["bound_console", "check", "logger", "reopen", "setup"]
