"""Calls to other services, bounded in time and size."""

from utils.http.response import UpstreamResponse
from utils.http.upstream import Upstream

__all__ = ["Upstream", "UpstreamResponse"]
