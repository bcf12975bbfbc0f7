"""Calls to other services: an `Upstream` is one of them, bounded in time and in size.

warehouse = Upstream("warehouse", "http://127.0.0.1:8080")
stock = warehouse.get(f"/stock/{item}").decode(Stock)
"""

import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partialmethod
from typing import Any, NamedTuple, TypeVar, overload
from urllib.parse import quote, unquote, urljoin, urlsplit

import gevent
import msgspec
import requests
from msgspec import UNSET
from urllib3.exceptions import ConnectTimeoutError, HTTPError, ReadTimeoutError

from utils.codec import JSON_ERRORS
from utils.context import deadline, outbound_headers, time_left
from utils.errors import DeadlineError, UnavailableError
from utils.http.session import Session
from utils.log import logger

T = TypeVar("T")

FAULTS = (OSError, HTTPError, ValueError)  # requests' own are OSErrors; their texts tell URLs
MAX_REDIRECTS = 3
CHUNK_BYTES = 1 << 16


class Answer(NamedTuple):
    """What an upstream answered."""

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
            raise unavailable(self.upstream, "answered what it should not", str(error)) from None


class Upstream:
    """Another service, at a URL that may hold a path for all calls, a user and a password.

    A call takes `total_timeout` seconds at most, whatever it waits for. If it fails, or is
    answered with 429 or 5xx, it raises UnavailableError; DeadlineError if the request at hand
    had less time left. GET, HEAD, OPTIONS, PUT and DELETE are sent again, up to `retries`
    times; any other method only if there was no connection that it could have gone over.
    `ca_file` holds the authorities to trust instead of the public ones, as PEM.
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
        max_bytes: int = 4 << 20,
        ca_file: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.max_bytes = name, max_bytes
        self.retries, self.ca_file = retries, ca_file
        self.timeouts, self.total_timeout = (connect_timeout, read_timeout), total_timeout
        self.url, self.auth = split(name, url)
        self.headers = headers or {}
        self.sessions: dict[int, Session] = {}

    def session(self) -> Session:
        """Return this process's session, made at first use: a fork must not share connections."""
        pid = os.getpid()
        if pid not in self.sessions:
            self.sessions[pid] = Session(self.retries, self.ca_file)
        return self.sessions[pid]

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = UNSET,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request, and return the answer.

        The path is plain text and gets quoted; ValueError if it tries to lead elsewhere. GET
        and HEAD go on to where they are redirected on the same host; any other redirect is
        an answer.
        """
        kind = {} if json is UNSET else {"Content-Type": "application/json"}
        own = {**kind, **self.headers, **(headers or {})}
        request = requests.Request(
            method,
            self.url + quoted(path),
            params=params,
            data=None if json is UNSET else msgspec.json.encode(json),
            headers={**own, **outbound_headers(self.total_timeout)},
            auth=self.auth,
        )
        return self.send(self.session().prepare_request(request))

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    delete = partialmethod(request, "DELETE")

    def send(self, request: requests.PreparedRequest) -> Answer:
        """Send a request and read the answer, all within the time that there is."""
        started, outer, status = time.monotonic(), sys.exc_info()[1], "-"
        if (limit := time_left(self.total_timeout)) <= 0:
            raise DeadlineError
        timeout = gevent.Timeout(limit)
        try:
            with timeout:
                answer = self.follow(request)
            status = str(answer.status)
            return answer
        except gevent.Timeout as passed:
            if passed is not timeout:
                raise
            error = unavailable(self.name, f"did not answer within {round(limit, 3):g} s")
            hurried = deadline.get(math.inf) < started + self.total_timeout
            raise (DeadlineError() if hurried else error) from None
        except FAULTS as fault:
            raise self.explain(list(causes(fault, outer))) from None
        finally:
            milliseconds = (time.monotonic() - started) * 1000
            logger.debug("%s: %s %s %.3f ms", self.name, request.method, status, milliseconds)

    def explain(self, faults: list[BaseException]) -> UnavailableError:
        """Return what the caller learns of faults; the log has their classes."""
        what = "broke off"
        if any(isinstance(fault, ConnectTimeoutError) for fault in faults):
            what = "cannot be reached"
        elif any(isinstance(fault, ReadTimeoutError) for fault in faults):
            what = f"did not answer within {self.timeouts[1]:g} s"
        return unavailable(self.name, what, " < ".join(type(fault).__name__ for fault in faults))

    def follow(self, request: requests.PreparedRequest) -> Answer:
        """Send a request, go on to where it is redirected, and read the answer."""
        for _ in range(1 + MAX_REDIRECTS):
            with self.session().send(request, stream=True, timeout=self.timeouts) as response:
                if not (target := self.target(response)):
                    return self.read(response)
            request.prepare_url(target, None)
        raise unavailable(self.name, "redirects too often")

    def target(self, response: requests.Response) -> str | None:
        """Return where to go on: never to another host, which must not get our headers."""
        if not response.is_redirect or response.request.method not in ("GET", "HEAD"):
            return None
        url = urljoin(response.url, response.headers["Location"])
        return None if self.session().should_strip_auth(response.url, url) else url

    def read(self, response: requests.Response) -> Answer:
        """Return the answer, of at most `max_bytes` when unzipped."""
        status = response.status_code
        if not 200 <= status < 500 or status == 429:
            raise unavailable(self.name, f"answered {status}")
        body = bytearray()
        for chunk in response.iter_content(CHUNK_BYTES):
            body += chunk
            if len(body) > self.max_bytes:
                raise unavailable(self.name, f"answered more than {self.max_bytes} bytes")
        return Answer(self.name, status, response.headers, bytes(body))


def split(name: str, url: str) -> tuple[str, tuple[str, str] | None]:
    """Return the URL without its user and password, and these, if it has them."""
    with suppress(ValueError):  # its text may tell the password
        parts = urlsplit(url)
        user, password = parts.username, parts.password or ""
        auth = (unquote(user, "latin-1"), unquote(password, "latin-1")) if user else None
        rest = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        if fits and not parts.query and not parts.fragment:
            return rest, auth
    raise ValueError(f"{name}: expected a URL like http://user:password@host:8080/path")


def quoted(path: str) -> str:
    """Return a path in which nothing is a query, a host, or a way up."""
    if not path.startswith("/") or path.startswith("//") or {".", ".."} & set(path.split("/")):
        raise ValueError(f"expected a path like /stock/7: {path!r}")
    return quote(path, safe="/:@!$&'()*+,;=")


def causes(fault: BaseException | None, outer: BaseException | None) -> Iterator[BaseException]:
    """Yield a fault and what led to it, but not what its caller was handling already."""
    while fault and fault is not outer:
        yield fault
        fault = fault.__context__


def unavailable(name: str, what: str, cause: str = "") -> UnavailableError:
    """Return what the caller learns of a failure; the log has the cause too."""
    logger.warning("%s %s%s", name, what, f": {cause}" if cause else "")
    return UnavailableError(f"{name} {what}")
