"""Logs: `logger` for a line of your own; the rest is for the processes that serve."""

from utils.log.configure import bound_console, check, logger, reopen, setup

__all__ = ["bound_console", "check", "logger", "reopen", "setup"]
