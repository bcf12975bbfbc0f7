"""Calls to other services, bounded in time and size."""

from utils.http.upstream import Upstream, UpstreamResponse

__all__ = ["Upstream", "UpstreamResponse"]
