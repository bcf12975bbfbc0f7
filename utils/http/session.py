"""The connections to another service, and when a request is sent again."""

import logging
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from conf.current import settings

logging.getLogger("urllib3").setLevel(logging.ERROR)  # what is less severe tells URLs


class Policy(Retry):
    """When a request is sent again."""

    def increment(self, *args: Any, **options: Any) -> "Policy":
        """Count an attempt, and leave its answer unread: urllib3 would read it, however long."""
        if response := options.get("response"):
            response.close()
        return super().increment(*args, **options)


class Session(requests.Session):
    """A session that takes nothing from the environment, keeps no cookies, follows nothing."""

    def __init__(self, retries: int, ca_file: str) -> None:
        super().__init__()
        self.trust_env = False  # no proxies, no .netrc
        self.verify = ca_file or True
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        policy = Policy(
            retries,
            other=0,  # TLS that breaks, for one: urllib3 would send even a POST again
            allowed_methods={"GET", "HEAD", "OPTIONS", "PUT", "DELETE"},
            status_forcelist={502, 503, 504},
            backoff_factor=0.05,
            backoff_jitter=0.1,
            backoff_max=1,
            respect_retry_after_header=False,
            raise_on_status=False,
        )
        # Not one that blocks: it grows by a slot whenever a wait for it is cut.
        adapter = HTTPAdapter(pool_maxsize=settings.worker_connections, max_retries=policy)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow nothing: requests would read the whole body first, however long."""
