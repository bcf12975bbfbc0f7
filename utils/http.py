"""Calls to other services: an `Upstream` is one of them, bounded in time and in size.

warehouse = Upstream("warehouse", "http://127.0.0.1:8080")
stock = warehouse.get(f"/stock/{item}").decode(Stock)
"""

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partialmethod
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NamedTuple, TypeVar, overload
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

import gevent
import msgspec
import requests
from msgspec import UNSET
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, HTTPError, ReadTimeoutError
from urllib3.util import Retry

from conf.settings import settings
from utils.api import UNREADABLE
from utils.context import deadline, headers_of_a_call, remaining
from utils.errors import DeadlineError, UnavailableError
from utils.log import logger

T = TypeVar("T")

FAULTS = (OSError, HTTPError, ValueError)  # requests' errors are OSErrors; their texts tell URLs
MAX_REDIRECTS = 3
CHUNK_BYTES = 1 << 16

logging.getLogger("urllib3").setLevel(logging.ERROR)  # what is less severe tells URLs


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
        except UNREADABLE as error:
            raise unavailable(self.upstream, "answered what it should not", str(error)) from None


class Session(requests.Session):
    """A session that takes nothing from the environment, keeps no cookies, follows nothing."""

    def __init__(self, upstream: "Upstream") -> None:
        super().__init__()
        self.auth = upstream.auth
        self.headers.update(upstream.headers)
        self.trust_env = False  # no proxies, no .netrc
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        policy = Retry(
            upstream.retries,
            other=0,  # TLS that breaks, for one: urllib3 would send even a POST again
            allowed_methods={"GET", "HEAD", "OPTIONS", "PUT", "DELETE"},
            status_forcelist={502, 503, 504},
            backoff_factor=0.05,
            backoff_jitter=0.1,
            backoff_max=1,
            respect_retry_after_header=False,
            raise_on_status=False,
        )
        # A pool that blocks grows a slot too many whenever a wait for it is cut.
        adapter = HTTPAdapter(pool_maxsize=settings.worker_connections, max_retries=policy)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow nothing: requests would read the whole body first, however long."""


class Upstream:
    """Another service, at a URL that may hold a path for all calls, a user and a password.

    A call takes `total_timeout` seconds at most, whatever it waits for. Its failures are
    UnavailableErrors, answers of 429 and 5xx among them, or a DeadlineError if the request at
    hand had less time left. GET, HEAD, OPTIONS, PUT and DELETE are sent again, up to `retries`
    times; any other method only if there was no connection that it could have been sent over.
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
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.retries, self.max_bytes = name, retries, max_bytes
        self.timeouts, self.total_timeout = (connect_timeout, read_timeout), total_timeout
        self.url, self.auth = split(name, url)
        self.headers = headers or {}
        self.sessions: dict[int, Session] = {}

    def session(self) -> Session:
        """Return this process's session, made at first use: a fork must not share connections."""
        pid = os.getpid()
        if pid not in self.sessions:
            self.sessions[pid] = Session(self)
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

        The path is plain text: it is quoted, so that nothing in it becomes a query or leads
        elsewhere; ValueError if it tries to. GET and HEAD are followed to where they are
        redirected on the same host; any other redirect is an answer.
        """
        kind = {} if json is UNSET else {"Content-Type": "application/json"}
        request = requests.Request(
            method,
            self.url + quoted(path),
            params=params,
            data=None if json is UNSET else msgspec.json.encode(json),
            headers={**kind, **(headers or {}), **headers_of_a_call(self.total_timeout)},
        )
        return self.send(self.session().prepare_request(request))

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    delete = partialmethod(request, "DELETE")

    def send(self, request: requests.PreparedRequest) -> Answer:
        """Send the request within the time that there is, and log how long that takes."""
        status, started = "failed", time.perf_counter()
        try:
            with self.guarded():
                answer = self.follow(request)
            status = str(answer.status)
            return answer
        finally:
            milliseconds = (time.perf_counter() - started) * 1000
            logger.debug("%s: %s %s %.3f ms", self.name, request.method, status, milliseconds)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Bound the time of what runs inside, and turn its faults into ServiceErrors."""
        limit = remaining(self.total_timeout)
        if limit <= 0:
            raise DeadlineError
        hurried = deadline.get(math.inf) < time.monotonic() + self.total_timeout
        timeout = gevent.Timeout(limit)
        try:
            with timeout:
                yield
        except gevent.Timeout as passed:
            if passed is not timeout:
                raise
            error = unavailable(self.name, f"did not answer within {round(limit, 3):g} s")
            raise (DeadlineError() if hurried else error) from None
        except FAULTS as fault:
            raise self.unavailable(fault) from None

    def unavailable(self, fault: BaseException) -> UnavailableError:
        """Return what the caller learns of a fault of requests' or urllib3's."""
        causes = list(chain(fault))
        what = "broke off"
        if any(isinstance(cause, ConnectTimeoutError) for cause in causes):
            what = "cannot be reached"
        elif any(isinstance(cause, ReadTimeoutError) for cause in causes):
            what = f"did not answer within {self.timeouts[1]:g} s"
        return unavailable(self.name, what, " < ".join(type(cause).__name__ for cause in causes))

    def follow(self, request: requests.PreparedRequest) -> Answer:
        """Send the request, go on to where it is redirected, and read the answer."""
        for _ in range(1 + MAX_REDIRECTS):
            with self.session().send(request, stream=True, timeout=self.timeouts) as response:
                if not (target := self.target(request, response)):
                    return self.read(response)
            request.prepare_url(target, None)
        raise unavailable(self.name, "redirects too often")

    def target(self, request: requests.PreparedRequest, response: requests.Response) -> str | None:
        """Return where to go on; never another host, which must not learn our headers."""
        if not response.is_redirect or request.method not in ("GET", "HEAD"):
            return None
        url = urljoin(response.url, response.headers["Location"])
        return None if self.session().should_strip_auth(response.url, url) else url

    def read(self, response: requests.Response) -> Answer:
        """Return the answer, of `max_bytes` at most when it is unzipped."""
        status = response.status_code
        if not 200 <= status < 500 or status == 429:
            raise unavailable(self.name, f"answered {status}")
        body = bytearray()
        for chunk in response.iter_content(CHUNK_BYTES):
            body += chunk
            if len(body) > self.max_bytes:
                raise unavailable(self.name, f"answered more than {self.max_bytes} bytes")
        return Answer(self.name, status, response.headers, bytes(body))


def split(name: str, url: str) -> tuple[str, tuple[bytes, bytes] | None]:
    """Return the URL without its user and password, and these, if it has them."""
    with suppress(ValueError):  # its text may hold the password
        parts = urlsplit(url)
        rest = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/"))
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            user, password = parts.username, parts.password or ""
            auth = (unquote_to_bytes(user), unquote_to_bytes(password)) if user else None
            return rest.geturl(), auth
    raise ValueError(f"{name}: expected a URL like http://user:password@host:8080/path")


def quoted(path: str) -> str:
    """Return a path in which nothing leads elsewhere; ValueError if it is meant to."""
    if not path.startswith("/") or path.startswith("//") or {".", ".."} & set(path.split("/")):
        raise ValueError(f"expected a path like /stock/7: {path!r}")
    return quote(path, safe="/:@!$&'()*+,;=")


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it."""
    while error:
        yield error
        error = error.__context__


def unavailable(name: str, what: str, cause: str = "") -> UnavailableError:
    """Return what the caller learns; the log has the cause too."""
    logger.warning("%s %s%s", name, what, f": {cause}" if cause else "")
    return UnavailableError(f"{name} {what}")
