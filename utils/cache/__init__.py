"""Redis: one load for all who want a value, and nothing older than a change."""

from utils.cache.cached_function import cached
from utils.cache.redis import client

__all__ = ["cached", "client"]
