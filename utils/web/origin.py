"""Web pages that call: which may write (CSRF), and which may read the answer (CORS).

A browser says in `Origin` whose page sent a request, in `Sec-Fetch-Site` how near that is; what is
no browser sends neither. Credentials are not allowed: with them, `*` would mean itself.
"""

from functools import lru_cache

from werkzeug import Response

from conf.current import settings
from conf.groups import ORIGIN
from utils.errors import HTTPError, shorten
from utils.web.client import is_trusted, plain_address
from utils.web.request import Request, split_host

SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")  # RFC 9110, 9.2.1
EXPOSED = "Allow, Location, Retry-After, X-Request-ID"


def check_origin(request: Request) -> None:
    """Raise a 403 if a page that is not allowed to sends a request that may write."""
    origin = request.environ.get("HTTP_ORIGIN")
    site = request.environ.get("HTTP_SEC_FETCH_SITE", "none")
    if (origin is None and site in ("none", "same-origin")) or request.method in SAFE:
        return
    if origin not in allowed_origins() and not is_own(request, origin):
        page = f"{site} page" if site in ("same-site", "cross-site") else "page"
        if origin and ORIGIN.fullmatch(origin):  # what else stands there may be a secret
            page = f"page of {shorten(origin)}"
        raise HTTPError("forbidden", status=403, detail=f"a {page}, not in ALLOWED_ORIGINS")


def is_own(request: Request, origin: str | None) -> bool:
    """Return whether the page is from the address that this request was sent to."""
    if origin != f"{request.scheme}://{request.host}":
        return False
    # If no proxy of ours has seen to it, that is no name but an address: the name of any page can
    # be made to lead here (DNS rebinding).
    name, _ = split_host(request.host) or ("", "")
    is_address = name == "localhost" or plain_address(name.strip("[]")) != ""
    return is_address or is_trusted(request.access_route[-1])


def allow_origin(request: Request, response: Response) -> None:
    """Let an allowed page read the response, and tell it what it may send."""
    if not allowed_origins():
        return
    response.vary.add("Origin")  # for caches, also where it is not sent
    if (origin := request.environ.get("HTTP_ORIGIN")) not in allowed_origins():
        return
    headers = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED}
    if request.method == "OPTIONS" and "Allow" in response.headers:
        headers["Access-Control-Allow-Methods"] = response.headers["Allow"]
        headers["Access-Control-Allow-Headers"] = "*, Authorization"  # which * does not mean
        headers["Access-Control-Max-Age"] = "7200"  # seconds; Chrome's limit
    for name, value in headers.items():
        response.headers.setdefault(name, value)


@lru_cache(maxsize=1)
def allowed_origins() -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, settings.allowed_origins.split(","))))
