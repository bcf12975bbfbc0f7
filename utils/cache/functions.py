"""Which functions can be cached."""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints


def check_function(function: object, pattern: str) -> None:
    """Raise TypeError unless it is a plain function: what it is called with is all it depends on.

    A method depends on its object, and a generator or coroutine function returns no result yet.
    """
    if not inspect.isfunction(function) or "." in function.__qualname__.rpartition("<locals>.")[2]:
        raise TypeError(f"{pattern}: expected a function, and no method")
    kinds = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    if any(is_kind(function) for is_kind in kinds):
        raise TypeError(
            f"{pattern}: expected a function that returns its result, without yield or async"
        )


def return_annotation(function: Callable[..., Any], pattern: str) -> Any:
    """Return the type that a result is read again as."""
    hints = get_type_hints(function, include_extras=True)
    if "return" not in hints:
        raise TypeError(f"{pattern}: expected a return annotation, to read results again")
    return hints["return"]
