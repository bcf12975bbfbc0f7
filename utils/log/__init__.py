"""Logs: `logger` for a line of your own; the rest is for the processes that serve."""

from utils.log.configure import check, logger, reopen, setup

__all__ = ["check", "logger", "reopen", "setup"]
