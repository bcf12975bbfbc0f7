"""What can be cached: a plain function with a return annotation; else it is refused at once."""

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from utils.cache import cached


class Orders:
    """Methods, whose results depend on their object or class as well."""

    def load(this, number: int) -> int:  # noqa: N805  whatever it is called
        return number

    @classmethod
    def load_by_class(cls, number: int) -> int:
        return number

    @staticmethod
    def load_static(number: int) -> int:
        return number

    def __call__(self, number: int) -> int:
        return number


def generate(number: int) -> Iterator[int]:
    yield number


async def wait(number: int) -> int:
    return number


async def wait_for_all(number: int) -> AsyncIterator[int]:
    yield number


def unannotated(number):  # type: ignore[no-untyped-def]
    return number


def load(number: int) -> int:
    """Load a number."""
    return number


@functools.wraps(unannotated)
def wrapper(*args: Any) -> Any:
    return unannotated(*args)  # type: ignore[no-untyped-call]


METHOD, YIELD = "expected a function, and no method", "without yield or async"
REFUSED: list[tuple[Any, str]] = [
    (Orders.load, METHOD),
    (Orders().load, METHOD),
    (Orders.load_by_class, METHOD),
    (Orders.__dict__["load_by_class"], METHOD),
    (Orders.load_static, METHOD),
    (Orders(), METHOD),
    (Orders, METHOD),
    (len, METHOD),
    (functools.partial(load, 1), METHOD),
    (cached("function:{number}", 60)(load), METHOD),
    (generate, YIELD),
    (wait, YIELD),
    (wait_for_all, YIELD),
    (unannotated, "expected a return annotation"),
    (wrapper, "expected a return annotation"),
    (lambda number: number, "expected a return annotation"),
]


@pytest.mark.parametrize(("function", "reason"), REFUSED)
def test_what_cannot_be_cached_is_refused_where_it_is_decorated(
    function: Callable[..., Any], reason: str
) -> None:
    with pytest.raises(TypeError, match=f"function:{{number}}: .*{reason}"):
        cached("function:{number}", 60)(function)


def test_a_method_is_refused_in_its_class() -> None:
    with pytest.raises(TypeError, match=METHOD):

        class Items:
            @cached("items:{self}:{number}", 60)
            def load(self, number: int) -> int:
                return number


def test_a_cached_function_looks_as_the_function_does() -> None:
    cached_load = cached("looks:{number}", 60)(load)
    assert cached_load.__name__ == "load"  # type: ignore[attr-defined]
    assert cached_load.__doc__ == "Load a number."
    assert cached_load.__wrapped__ is load  # type: ignore[attr-defined]
