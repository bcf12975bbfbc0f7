"""Redis: one load for all who want a value, and nothing older than a change."""

from utils.cache.function import cached, client

__all__ = ["cached", "client"]
