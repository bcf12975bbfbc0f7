"""Redirects: followed as requests does, but to the same host alone, and never for a write."""

from http import HTTPStatus
from urllib.parse import quote, urljoin

import requests

MAX_REDIRECTS = 3
URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"
BODY_HEADERS = ("Content-Length", "Content-Type", "Transfer-Encoding")


def redirect_target(session: requests.Session, response: requests.Response) -> str | None:
    """Return the URL that a response redirects to, or None if it is to be returned as it is.

    Only GET and HEAD go on: if a POST was done and the page after it failed, the call would
    seem to have failed, and be sent again. Another host must not get our headers.
    """
    if not response.is_redirect or response.request.method not in ("GET", "HEAD"):
        return None
    # http.client reads the bytes of a header as Latin-1, but most servers send UTF-8 here.
    # Quoted as bytes, they go back as they came, whatever they are.
    location = quote(response.headers["Location"].strip().encode("latin-1"), safe=URL_CHARACTERS)
    if not location or response.url is None:
        return None
    url = urljoin(response.url, location)
    return None if session.should_strip_auth(response.url, url) else url


def redirect(request: requests.PreparedRequest, url: str, status: int) -> None:
    """Change a request into the one that a redirect asks for, without a body but for 307 and 308.

    The others let a client do so, and most do (RFC 9110, 15.4).
    """
    request.prepare_url(url, None)
    if status not in (HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT):
        request.body = None
        for name in BODY_HEADERS:
            request.headers.pop(name, None)
