"""`expose` and `match`: which rules may stand side by side, and what a route carries."""

from collections.abc import Mapping
from typing import Any

import pytest
from werkzeug.routing import Map
from werkzeug.test import create_environ

import decorator
from conf.current import settings
from decorator import expose, match


@pytest.fixture(autouse=True)
def empty_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the service's routes out of these tests, and theirs out of the service."""
    monkeypatch.setattr(decorator, "url_map", Map())
    monkeypatch.setattr(decorator, "routes", {})


def test_expose_returns_the_method_untouched() -> None:
    def method(self: Any) -> None: ...

    before = dict(vars(method))
    assert expose("/a")(method) is method
    assert vars(method) == before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("/a", ["POST"]), ("/a", ["POST"])),
        (("/a", ["POST", "PUT"]), ("/a", ["PUT"])),
        (("/a", ["GET"]), ("/a", ["HEAD"])),
        (("/a", None), ("/a", ["POST"])),
        (("/a/<int:x>", ["POST"]), ("/a/<int:y>", ["POST"])),
        (("/a/<x>/b", ["POST"]), ("/a/<string:y>/b", ["POST"])),
        (("/<int(max=9):x>-<any(b,c):y>.z", ["GET"]), ("/<int(max=9):v>-<any(b,c):w>.z", ["GET"])),
    ],
)
def test_a_rule_that_is_taken_stops_the_start_and_names_both_places(one: Any, other: Any) -> None:
    @expose(one[0], methods=one[1])
    def first(self: Any) -> None: ...

    with pytest.raises(ValueError, match="taken") as caught:

        @expose(other[0], methods=other[1])
        def second(self: Any) -> None: ...

    assert str(caught.value).count(f"{__file__}:") == 2


def test_a_method_name_that_is_taken_stops_the_start_and_names_both_places() -> None:
    @expose("/a")
    def method(self: Any) -> None: ...

    with pytest.raises(ValueError, match="taken") as caught:

        @expose("/b")
        def method(self: Any) -> None: ...

    assert str(caught.value).count(f"{__file__}:") == 2


def test_one_path_has_a_route_for_each_method() -> None:
    @expose("/a", methods=["POST"])
    def first(self: Any) -> None: ...

    @expose("/a", methods=["GET"])
    def second(self: Any) -> None: ...

    @expose("/a/<int:x>", methods=["GET"], timeout=2)
    def third(self: Any) -> None: ...

    @expose("/a/<x>", methods=["GET"])
    def fourth(self: Any) -> None: ...

    assert found("POST", "/a") == ("first", {})
    assert found("GET", "/a") == ("second", {})
    assert found("GET", "/a/7") == ("third", {"x": 7})
    assert found("GET", "/a/b") == ("fourth", {"x": "b"})


def found(method: str, path: str) -> tuple[str, Mapping[str, Any]]:
    """Return the endpoint and the path's values of a request."""
    route, path_params = match(create_environ(path, method=method))
    return route.endpoint, path_params


def test_a_route_has_the_time_limit_it_was_given_or_that_of_the_settings() -> None:
    @expose("/a", timeout=2)
    def first(self: Any) -> None: ...

    @expose("/b")
    def second(self: Any) -> None: ...

    assert match(create_environ("/a"))[0].timeout == 2
    assert match(create_environ("/b"))[0].timeout == settings.request_timeout
