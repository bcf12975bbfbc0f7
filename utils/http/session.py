"""The connections to another service, and when a request is sent again."""

import re
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.util import Retry

from conf.current import settings
from utils.http.addresses import Addresses
from utils.http.connection import Connection, TLSConnection
from utils.http.tls import TLS


class RetryPolicy(Retry):
    """When a request is sent again: never if it may have been done, and is not idempotent."""

    def increment(self, *args: Any, **options: Any) -> "RetryPolicy":
        """Count an attempt, and leave its answer unread: urllib3 would read it, however long."""
        if response := options.get("response"):
            response.close()
        return super().increment(*args, **options)


def retry_policy(retries: int, backoff: float) -> RetryPolicy:
    """Return the policy of at most `retries` retries, with pauses that double."""
    return RetryPolicy(
        retries,
        other=0,  # TLS that breaks, for one: urllib3 would send even a POST again
        allowed_methods={"GET", "HEAD", "OPTIONS", "PUT", "DELETE"},
        status_forcelist={502, 503, 504},
        backoff_factor=backoff,
        backoff_jitter=2 * backoff,
        backoff_max=1,
        respect_retry_after_header=False,  # urllib3 would sleep as long as the header says
        raise_on_status=False,
    )


class Adapter(HTTPAdapter):
    """Makes requests use our connections; each method is one that requests documents for this."""

    def __init__(self, tls: TLS, max_age: float, retries: RetryPolicy) -> None:
        self.tls, self.max_age, self.addresses = tls, max_age, Addresses()
        # Not one that blocks: it grows by a slot whenever a wait for it is cut.
        super().__init__(pool_maxsize=settings.worker_connections, max_retries=retries)

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> HTTPConnectionPool:
        """Return the pool for a request, with our connections."""
        pool = super().get_connection_with_tls_context(*args, **options)
        pool.conn_kw.update(addresses=self.addresses, max_age=self.max_age)
        pool.ConnectionCls = Connection
        if pool.scheme == "https":
            pool.conn_kw.update(tls=self.tls)
            pool.ConnectionCls = TLSConnection
        return pool

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Return the response without parsed cookies, for the reason at NoCookies."""
        response = requests.Response()
        response.status_code, response.headers = resp.status, CaseInsensitiveDict(resp.headers)
        response.raw, response.url, response.request = resp, req.url or "", req
        return response

    def cert_verify(self, *args: Any) -> None:
        """Load nothing: requests would have each connection load the authorities anew."""


class NoCookies(RequestsCookieJar):
    """Keeps no cookies, and reads none: 6 MB of `Set-Cookie: ;;;` take http.cookiejar 1.4 s."""

    def extract_cookies(self, *args: Any) -> None:
        """Leave the response's cookies alone."""


class Session(requests.Session):
    """A session that takes nothing from the environment, keeps no cookies, follows nothing."""

    def __init__(self, adapter: Adapter, proxy: str) -> None:
        super().__init__()
        self.trust_env = False  # no proxies, no .netrc
        self.proxies = {"http": proxy, "https": proxy} if proxy else {}
        self.cookies = NoCookies()
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Prepare a request; ValueError also for what http.client would refuse while it sends."""
        prepared = super().prepare_request(request)
        if not re.fullmatch("[A-Z-]+", prepared.method or ""):
            raise ValueError(f"expected a method like GET: {request.method!r}")
        for text in (*prepared.headers.keys(), *prepared.headers.values()):
            str(text).encode("latin-1")
        return prepared

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow nothing: requests would read the whole body first, however long."""
