"""Calls to other services: an `Upstream` is one of them, bounded in time and in size.

warehouse = Upstream("warehouse", "http://127.0.0.1:8080")
stock = warehouse.get("/stock", item).decode(Stock)
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, overload
from urllib.parse import urlsplit

import msgspec
import requests
from msgspec import UNSET

from utils.codec import JSON_ERRORS
from utils.context import fail_after, outbound_headers, per_process, time_left
from utils.errors import DeadlineError, NotBegunError
from utils.http.failures import LIBRARY_ERRORS, unavailable, unavailable_because
from utils.http.parts import Fields, encode_body, parse_base_url, quote_path
from utils.http.session import Adapter, Session, retry_policy
from utils.http.tls import TLS
from utils.log import logger
from utils.passwords import warn_of_clear_text

# Not larger: urllib3 copies what is left of a chunk for each member of a gzip file in it.
CHUNK_BYTES = 1 << 14

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


class TotalTimeoutError(Exception):
    """The time for a whole call is up."""


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


def with_method(
    method: str, request: Callable[Concatenate[S, str, P], UpstreamResponse]
) -> Callable[Concatenate[S, P], UpstreamResponse]:
    """Return `request` without its first argument; to mypy a partialmethod would be Any."""

    def send(self: S, /, *args: P.args, **kwargs: P.kwargs) -> UpstreamResponse:
        return request(self, method, *args, **kwargs)

    return send


class Upstream:
    """Another service, at a URL that may hold a path for all calls, a user and a password.

    A call takes `total_timeout` seconds at most, whatever it waits for. If it fails, or is
    answered with 407, 429 or 5xx, it raises UnavailableError; DeadlineError if the request at
    hand had less time left. docs/calls.md explains each option.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        connect_timeout: float = 1.0,
        read_timeout: float = 5.0,
        total_timeout: float = 5.0,
        retries: int = 2,
        backoff: float = 0.05,
        max_age: float = 60.0,
        max_bytes: int = 4 << 20,
        ca_file: str = "",
        cert: str | tuple[str, str] = "",
        proxy: str = "",
        headers: Mapping[str, str] | None = None,
        propagate: bool = True,
    ) -> None:
        self.name, self.max_bytes = name, max_bytes
        self.timeouts, self.total_timeout = (connect_timeout, read_timeout), total_timeout
        self.url, self.auth = parse_base_url(name, url)
        self.headers, self.propagate = headers or {}, propagate
        if proxy:
            parse_base_url(name, proxy, is_proxy=True)
        try:
            tls = TLS(ca_file, cert)
        except OSError as error:
            raise ValueError(f"{name}: cannot load ca_file or cert: {error}") from None

        def make_session() -> Session:
            for what, address in ((name, url), (f"{name}'s proxy", proxy)):
                parts = urlsplit(address)
                if parts.scheme == "http":
                    warn_of_clear_text(what, parts.hostname, parts.username)
            return Session(Adapter(tls, max_age, retry_policy(retries, backoff)), proxy)

        self.session = per_process(make_session)

    def request(
        self,
        method: str,
        path: str,
        *segments: str | int,
        params: Fields | None = None,
        json: Any = UNSET,
        data: Fields | None = None,
        content: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> UpstreamResponse:
        """Send a request, and return the response.

        The path is plain text and gets quoted, each of the segments after it as one. The body
        is one of `json`, `data` (the fields of a form) and `content` (bytes as they are).
        ParameterError if a segment would lead elsewhere, ValueError or TypeError if the rest cannot
        be sent as given. GET and HEAD go on to where they are redirected on the same host; any
        other redirect is returned.
        """
        url = self.url + quote_path(path, *segments)
        body, content_type = encode_body(json, data, content)
        headers = {**content_type, **self.headers, **(headers or {})}
        if self.propagate:
            headers |= outbound_headers(self.total_timeout)
        request = requests.Request(method, url, headers, data=body, params=params, auth=self.auth)
        return self.send(self.session().prepare_request(request))

    get = with_method("GET", request)
    post = with_method("POST", request)
    put = with_method("PUT", request)
    patch = with_method("PATCH", request)
    delete = with_method("DELETE", request)

    def send(self, request: requests.PreparedRequest) -> UpstreamResponse:
        """Send a request and read the response, all within the time that there is."""
        limit = time_left(self.total_timeout)
        if limit < 0.001:  # of which the upstream would be told as 0 ms
            raise NotBegunError
        status, started = "-", time.perf_counter()
        try:
            with (
                fail_after(limit, TotalTimeoutError()),
                self.session().send(request, stream=True, timeout=self.timeouts) as answer,
            ):
                response = self.read(answer)
            status = str(response.status)
            return response
        except TotalTimeoutError:
            if limit < self.total_timeout:  # the caller's haste, and no fault of the upstream
                raise DeadlineError from None
            raise unavailable(self.name, f"did not answer within {limit:g} s") from None
        except LIBRARY_ERRORS as error:
            raise unavailable_because(error, self.name, self.timeouts[1]) from None
        finally:
            took = (time.perf_counter() - started) * 1000
            logger.debug("%s: %s %s %.3f ms", self.name, request.method, status, took)

    def read(self, response: requests.Response) -> UpstreamResponse:
        """Return the response, of at most `max_bytes` when unzipped."""
        status = response.status_code
        # 407 is a proxy's, and 429 asks for a pause: neither answers the caller's question.
        if not 200 <= status < 500 or status in (407, 429):
            raise unavailable(self.name, f"answered {status}")
        # A bomb within a bomb costs seconds at each layer before a byte can be counted.
        if "," in response.headers.get("Content-Encoding", ""):
            raise unavailable(self.name, "sent an invalid response", "two content codings")
        body = bytearray()
        for chunk in response.iter_content(CHUNK_BYTES):
            body += chunk
            if len(body) > self.max_bytes:
                raise unavailable(self.name, f"answered more than {self.max_bytes} bytes")
        return UpstreamResponse(self.name, status, response.headers, bytes(body))
