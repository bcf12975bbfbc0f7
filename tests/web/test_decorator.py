"""`expose`."""

from typing import Any

import pytest
from werkzeug.routing import Map

import decorator
from decorator import expose


@pytest.fixture(autouse=True)
def empty_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the service's own routes out of these tests, and these out of the service's."""
    monkeypatch.setattr(decorator, "url_map", Map())
    monkeypatch.setattr(decorator, "places", {})


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
    ],
)
def test_a_taken_rule_stops_the_start_and_names_both_places(one: Any, other: Any) -> None:
    @expose(one[0], methods=one[1])
    def first(self: Any) -> None: ...

    with pytest.raises(ValueError, match="taken") as caught:

        @expose(other[0], methods=other[1])
        def second(self: Any) -> None: ...

    assert str(caught.value).count(f"{__file__}:") == 2


def test_a_taken_endpoint_stops_the_start_and_names_both_places() -> None:
    @expose("/a")
    def method(self: Any) -> None: ...

    with pytest.raises(ValueError, match="taken") as caught:

        @expose("/b")
        def method(self: Any) -> None: ...

    assert str(caught.value).count(f"{__file__}:") == 2


def test_a_rule_may_have_other_methods_elsewhere() -> None:
    @expose("/a", methods=["POST"])
    def first(self: Any) -> None: ...

    @expose("/a", methods=["GET"])
    def second(self: Any) -> None: ...

    @expose("/a/<int:x>", methods=["GET"])
    def third(self: Any) -> None: ...

    @expose("/a/<x>", methods=["GET"])
    def fourth(self: Any) -> None: ...
