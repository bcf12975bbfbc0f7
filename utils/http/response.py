"""What another service answered."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar, overload

import msgspec

from utils.codec import JSON_ERRORS
from utils.http.failures import unavailable

T = TypeVar("T")


class UpstreamResponse(NamedTuple):
    """A response that was read whole and unzipped; `headers` are found in any case."""

    upstream: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @overload
    def decode(self) -> Any: ...
    @overload
    def decode(self, into: type[T]) -> T: ...
    def decode(self, into: Any = Any) -> Any:
        """Return the JSON of the body as a type; UnavailableError if it is something else."""
        try:
            return msgspec.json.decode(self.body, type=into)
        except JSON_ERRORS as error:
            raise unavailable(self.upstream, "sent an invalid response", str(error)) from None
