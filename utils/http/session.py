"""How a request is sent: over our connections, sent again or redirected where that is harmless.

Private of urllib3 is `_original_response`, which has the headers that http.client read.
"""

import re
from typing import Any
from urllib.parse import quote, urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.util import Retry

from conf.current import settings
from utils.http.addresses import Addresses
from utils.http.connection import Connection, TLSConnection
from utils.http.tls import TLS

MAX_REDIRECTS = 3
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
HEADER_VALUE = re.compile(r"(?:[!-~\x80-\xff][\t -~\x80-\xff]*)?")
URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"


class RetryPolicy(Retry):
    """When a request is sent again: never if it may have been done, and is not idempotent."""

    def increment(self, *args: Any, **options: Any) -> "RetryPolicy":
        """Count an attempt, and leave its answer unread: urllib3 would read it, however long."""
        if response := options.get("response"):
            response.close()
        return super().increment(*args, **options)


def retry_policy(retries: int, backoff: float) -> RetryPolicy:
    return RetryPolicy(
        retries,
        other=0,  # TLS that breaks, for one: urllib3 would send even a POST again
        allowed_methods={"GET", "HEAD", "OPTIONS", "PUT", "DELETE"},
        status_forcelist={502, 503},  # not 504: what took too long once will again
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
        """Return the response, its cookies unread: 6 MB of `Set-Cookie: ;;;` would take 1.4 s."""
        del resp._original_response.msg["Set-Cookie"]
        return super().build_response(req, resp)

    def cert_verify(self, *args: Any) -> None:
        """Load nothing: requests would have each connection load the authorities anew."""


class Session(requests.Session):
    """A session that takes nothing from the environment, and follows few redirects."""

    def __init__(self, adapter: Adapter, proxy: str) -> None:
        super().__init__()
        self.trust_env = False  # no proxies, no .netrc
        self.proxies = {"http": proxy, "https": proxy} if proxy else {}
        self.max_redirects = MAX_REDIRECTS
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Prepare a request; ValueError also for what http.client would refuse while it sends."""
        if not re.fullmatch("[A-Z-]+", request.method or ""):
            raise ValueError(f"expected a method like GET: {request.method!r}")
        for name, value in request.headers.items():
            # Not left to requests, whose message has the value: a token with a newline, for one.
            is_text = isinstance(value, str) and HEADER_VALUE.fullmatch(value)
            if not (is_text and HEADER_NAME.fullmatch(name)):
                raise ValueError(f"header {name!r} cannot be sent with the value that it was given")
        return super().prepare_request(request)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the URL to go on to, or None if the redirect is to be returned as it is."""
        # If a POST was done and the page after it failed, the call would seem to have failed.
        if not resp.is_redirect or resp.request.method not in ("GET", "HEAD"):
            return None
        # http.client reads the bytes of a header as Latin-1, but most servers send UTF-8 here.
        # Quoted as bytes, they go back as they came, whatever they are.
        location = quote(resp.headers["Location"].strip().encode("latin-1"), safe=URL_CHARACTERS)
        url = urljoin(resp.url, location)
        # Another host must not get our headers.
        if not location or self.should_strip_auth(resp.url, url):
            return None
        resp.close()  # requests would read the body, however long
        return url
