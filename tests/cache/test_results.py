"""The results: every caller gets the same, of the types that the return annotation says."""

import inspect
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import gevent
import pytest
from msgspec import Meta, Struct, field

from tests.support.cache import Store, Thing
from utils.cache import cached, client
from utils.cache.lease import NONE_TTL, milliseconds_to_live
from utils.dev.servers import Redis


class Cat(Struct, tag=True, rename="camel"):
    full_name: str


class Dog(Struct, tag=True):
    name: str = field(name="from")


@dataclass
class Point:
    x: float


def test_a_result_is_loaded_once_and_then_cached(store: Store) -> None:
    load = store.worker()
    assert [load("a"), load("a"), load("a")] == [Thing("a", 1)] * 3
    assert store.loads == 1


def test_nobody_can_change_what_others_get(store: Store) -> None:
    load = store.worker()
    calls = [gevent.spawn(load, "a") for _ in range(3)]
    gevent.joinall(calls)
    assert len({id(call.value) for call in calls}) == 3


@pytest.mark.parametrize(
    ("result", "annotation"),
    [
        (None, None),
        ([], list[int]),
        ({}, dict[str, int]),
        ("", str),
        (False, bool),
        (2**80, int),
        (Decimal("1.10"), Decimal),
        (datetime(2020, 1, 1, 12, tzinfo=UTC), datetime),
        (datetime(2020, 1, 1, 12, 0, 0, 1), datetime),
        (b"\xff", bytes),
        ({1, 2}, set[int]),
        ((1, "a"), tuple[int, str]),
        ({1: UUID(int=1)}, dict[int, UUID]),
        (Cat("Tom"), Cat | Dog),
        (Dog("Rex"), Cat | Dog),
        (Point(1.5), Point),
    ],
)
def test_a_result_comes_back_as_it_was(redis: Redis, result: Any, annotation: Any) -> None:
    loads = []

    def load() -> Any:
        loads.append(1)
        return result

    load.__annotations__["return"] = annotation
    cached_load = cached("result", 60)(load)
    first, second = cached_load(), cached_load()
    assert first == second == result
    assert type(first) is type(second) is type(result)
    assert len(loads) == 1


@pytest.mark.parametrize(
    ("result", "annotation"),
    [
        (1, str),
        (None, int),
        (float("nan"), float),
        (Thing("a", "1"), Thing),  # type: ignore[arg-type]
        (-1, Annotated[int, Meta(ge=0)]),
        (iter([1]), list[int]),
        ({(1, 2): 3}, dict[Any, int]),
        (object(), Any),
        ("\ud800", str),
    ],
    ids=repr,
)
def test_a_result_that_could_not_be_read_again_is_an_error(
    redis: Redis, result: Any, annotation: Any
) -> None:
    loads = []

    def load() -> Any:
        loads.append(1)
        return result

    load.__annotations__["return"] = annotation
    with pytest.raises(TypeError, match=r"the result of .*load cannot be cached: ") as raised:
        cached("result", 60)(load)()
    kinds = f"{type(result).__name__} under -> {inspect.formatannotation(annotation)}: "
    assert kinds in str(raised.value)
    assert len(loads) == 1
    assert not client().exists("pyserver:result")


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
def test_a_ttl_that_is_none_is_refused(ttl: float) -> None:
    with pytest.raises(ValueError, match="thing: expected a ttl above 0"):
        cached("thing", ttl)(lambda: None)


def test_a_none_is_cached_for_a_short_time(store: Store) -> None:
    load = store.worker()
    assert [load("none"), load("none")] == [None, None]
    assert store.loads == 1
    assert 0 < client().pttl("pyserver:thing:none") <= NONE_TTL * 1000


def test_values_that_were_loaded_together_expire_one_by_one_and_never_too_late(
    store: Store,
) -> None:
    store.worker()("a")
    assert 0 < client().pttl("pyserver:thing:a") <= 60_000
    lives = [milliseconds_to_live(b"{}", 60) for _ in range(100)]
    assert min(lives) >= 54_000
    assert max(lives) <= 60_000
    assert len(set(lives)) > 5


@pytest.mark.parametrize("value", [b"{", b'{"name":"a"}', b"\xff"])
def test_a_value_of_another_release_is_loaded_anew(
    store: Store, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    load = store.worker()
    client().set("pyserver:thing:a", value)
    assert [load("a"), load("a"), load("a")] == [Thing("a", 1)] * 3
    assert store.loads == 2
    assert caplog.text.count("the cached value of 'pyserver:thing:a' cannot be read: ") == 1


def test_a_cached_function_keeps_its_name_documentation_and_signature() -> None:
    def load_order(order_id: int) -> int:
        """Return an order."""
        return order_id

    cached_load = cached("order:{order_id}:documented", 60)(load_order)
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        assert getattr(cached_load, name) == getattr(load_order, name)
    assert inspect.signature(cached_load) == inspect.signature(load_order)
