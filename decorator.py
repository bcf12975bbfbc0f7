"""`expose` makes a method of `Server` a route, `match` finds the route of a request."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from werkzeug.exceptions import BadRequest, NotFound
from werkzeug.routing import Map, MapAdapter, RequestRedirect, Rule

from conf.current import settings
from utils.errors import HTTPError, NotFoundError, shorten

F = TypeVar("F", bound=Callable[..., Any])
NO_HOST = "host.invalid"  # where Werkzeug wants one; RFC 6761 keeps the name free


class Route(Rule):
    """A URL rule, the place in the code where it was registered, and the limits of its requests."""

    def __init__(
        self,
        string: str,
        registered_at: str,
        timeout: float | None = None,
        max_body_bytes: int | None = None,
        max_body_values: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(string, **options)
        self.registered_at = registered_at
        self.timeout = settings.request_timeout if timeout is None else timeout
        self.max_body_bytes = settings.max_body_bytes if max_body_bytes is None else max_body_bytes
        self.max_body_values = max_body_values or settings.max_body_values


# Both would answer with a redirect, on which many clients lose the body of a POST.
url_map = Map(strict_slashes=False, merge_slashes=False)
routes: dict[str, Route] = {}  # by endpoint, which is the method's name


def expose(rule: str, **options: Any) -> Callable[[F], F]:
    """Register a method of `Server` for a URL rule, and return it untouched.

    `options` are those of werkzeug.routing.Rule, `methods` above all; `timeout`, the seconds that
    a request may take instead of REQUEST_TIMEOUT; and `max_body_bytes` and `max_body_values`, in
    place of MAX_BODY_BYTES and MAX_BODY_VALUES.
    A rule or a method's name that is taken already raises ValueError with both places.
    """

    def register(method: F) -> F:
        place = f"{method.__code__.co_filename}:{method.__code__.co_firstlineno}"
        added = Route(rule, place, endpoint=method.__name__, **options)
        for taken in routes.values():
            if taken.endpoint == added.endpoint or overlap(taken, added):
                raise ValueError(
                    f"{place}: {added.endpoint} at {rule} is taken by {taken.endpoint} "
                    f"at {taken.rule} in {taken.registered_at}"
                )
        url_map.add(added)
        routes[added.endpoint] = added
        return method

    return register


def match(environ: Mapping[str, Any]) -> tuple[Route, Mapping[str, Any]]:
    """Return the route of a request and the values in its path.

    Raises NotFoundError, BadRequest for a URL that is not UTF-8, werkzeug's MethodNotAllowed, and
    the redirect of a rule that asks for one.
    """
    sent = environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
    try:
        path, query = (part.encode("latin-1").decode() for part in sent)
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise BadRequest(f"the URL is not UTF-8: {shorten(sent[0])}") from None  # no query: secrets
    # Not bind_to_environ: it reads the Host, on which nothing here depends, by stricter rules. Nor
    # bind: it encodes the name of the host anew each time.
    method = environ["REQUEST_METHOD"]
    adapter = MapAdapter(url_map, NO_HOST, "/", "", "http", path, method, query)
    try:
        if path.startswith("//"):  # for Werkzeug one slash: a rule of a proxy would be gone around
            raise NotFound
        rule, path_params = adapter.match(return_rule=True)
    except RequestRedirect as redirect:  # as an error it has no Location
        location = redirect.new_url.removeprefix(f"http://{NO_HOST}")
        raise HTTPError(redirect.name.lower(), {"Location": location}, redirect.code) from None
    except NotFound:
        raise NotFoundError(detail=f"no route for {shorten(path)}") from None
    return routes[rule.endpoint], path_params


def overlap(one: Rule, other: Rule) -> bool:
    """Return whether some request could match both: equal paths, and a method in common."""
    if without_names(one.rule) != without_names(other.rule):
        return False
    return one.methods is None or other.methods is None or bool(one.methods & other.methods)


def without_names(rule: str) -> list[tuple[str, str]]:
    """Return the parts of a rule: the converter of each value in the path, and the text behind it.

    `/orders/<int:order_id>` and `/orders/<int:number>` have the same parts.
    """
    start, *values = rule.split("<")
    parts = [("", start)]
    for value in values:
        converter_and_name, _, text = value.partition(">")
        converter, _, _ = converter_and_name.rpartition(":")
        parts.append((converter or "string", text))
    return parts
