"""The keys: two different calls never share one; a pattern that cannot promise it is refused."""

from collections.abc import Callable
from typing import Any

import gevent
import pytest
from msgspec import structs

from conf.current import settings
from tests.support.cache import Store
from tests.support.service import wait_until
from utils.cache import cached, client, keys
from utils.dev.servers import Redis


def test_no_two_calls_share_a_key(redis: Redis) -> None:
    @cached("pair:{one}:{other}", 60)
    def load(one: str, other: str = "x") -> list[str]:
        return [one, other]

    for pair in (["1:2", "3"], ["1", "2:3"], ["1", "2%3A3"], ["", ""], ["ü\n", "🙂"], ["\ud800"]):
        assert load.key_for(*pair) != load.key_for("1", "2")
    for pair in (["1:2", "3"], ["1", "2:3"], ["1", "2%3A3"], ["", ""], ["ü\n", "🙂"]):
        assert load(*pair) == pair
    assert load("1") == load("1", "x") == load(other="x", one="1") == ["1", "x"]


def test_no_value_shares_a_key_with_its_own_text(redis: Redis) -> None:
    @cached("thing:{thing}", 60)
    def load(thing: object) -> str:
        return type(thing).__name__

    for thing in (None, True, 1.5, (1, 2), b"a"):
        for call in (thing, str(thing), repr(thing), f"={thing!r}"):
            assert load(call) == type(call).__name__
    assert client().get("pyserver:thing:=None") == b'"NoneType"'


def test_a_key_is_easily_read() -> None:
    @cached("order:{shop}:{number}", 60)
    def load(shop: str, number: int) -> int:
        return number

    assert load.key_for("tea-house", 7) == "pyserver:order:tea-house:7"


@pytest.mark.parametrize(
    ("prefix", "name", "begins"),
    [
        ("", "orders", "orders:thing:a"),
        ("shop", "orders", "shop:thing:a"),
        ("shop:thing", "orders", "shop%3Athing:thing:a"),
        ("#{1}", "orders", "%23%7B1%7D:thing:a"),
        ("", "Läden", "L%C3%A4den:thing:a"),
    ],
)
def test_all_that_is_written_has_the_prefix_of_the_service(
    store: Store, monkeypatch: pytest.MonkeyPatch, prefix: str, name: str, begins: str
) -> None:
    redis = structs.replace(settings.redis, prefix=prefix)
    monkeypatch.setattr(keys, "settings", structs.replace(settings, redis=redis, service_name=name))
    load = store.worker()
    store.hold()
    call = gevent.spawn(load, "a")
    wait_until(lambda: store.loads == 1)
    assert client().keys("*") == [f"{begins}#lock".encode()]
    store.let(1)
    call.join()
    assert client().keys("*") == [begins.encode()]
    load.invalidate_key(load.key_for("a"), uncertain=60)
    assert client().keys("*") == [f"{begins}#lock".encode()]


def test_a_long_key_works(redis: Redis) -> None:
    @cached("long:{text}", 60)
    def load(text: str) -> int:
        return len(text)

    assert load("x" * 1_000_000) == load("x" * 1_000_000) == 1_000_000
    assert load("x" * 1_000_001) == 1_000_001


def positional(*args: int) -> int:
    return sum(args)


def by_name(**args: int) -> int:
    return sum(args.values())


def plain(args: int) -> int:
    return args


def pair(one: str, other: str) -> list[str]:
    return [one, other]


@pytest.mark.parametrize(
    ("key", "function", "reason"),
    [
        ("pair", pair, "each argument between colons"),
        ("pair:{one}", pair, "each argument between colons"),
        ("pair:{one}:{two}", pair, "each argument between colons"),
        ("{}:{}", pair, "each argument between colons"),
        ("{one.x}:{other}", pair, "each argument between colons"),
        ("{one}{other}", pair, "each argument between colons"),
        ("{one}-{other}", pair, "each argument between colons"),
        ("sum:{args:.2}", plain, "each argument between colons"),
        ("sum:{args!r}", plain, "each argument between colons"),
        ("sum{args}", plain, "each argument between colons"),
        ("sum:{args}s", plain, "each argument between colons"),
        ("sum:{args}:}", plain, "each argument between colons"),
        ("sum:{args}", positional, "expected named arguments"),
        ("sum:{args}", by_name, "expected named arguments"),
        ("sum:{args}#lock", plain, "each argument between colons"),
        ("sum:{args}:#lock", plain, "expected no #"),
    ],
)
def test_a_key_that_two_calls_could_share_is_refused(
    key: str, function: Callable[..., Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        cached(key, 60)(function)


def test_keyword_only_arguments_and_defaults_are_part_of_the_key() -> None:
    @cached("search:{text}:{limit}", 60)
    def search(text: str, /, *, limit: int = 20) -> list[str]:
        return [text] * limit

    assert search.key_for("a") == search.key_for("a", limit=20) == "pyserver:search:a:20"
    with pytest.raises(TypeError):
        search.key_for("a", 20)  # type: ignore[call-arg]


def nothing() -> int:
    return 0


@cached("same:{one}:x", 60)
def first(one: int) -> int:
    return one


@pytest.mark.parametrize(
    ("pattern", "function"),
    [("same:{args}:x", plain), ("same:{one}:{other}", pair), ("same:1:x", nothing)],
)
def test_two_functions_that_could_share_a_key_are_refused(
    pattern: str, function: Callable[..., Any]
) -> None:
    with pytest.raises(ValueError, match=r"first may have such a key already: same:\{one\}:x$"):
        cached(pattern, 60)(function)
    assert first.key_for(1) == "pyserver:same:1:x"


def test_no_value_has_the_key_of_a_lock(redis: Redis) -> None:
    @cached("part:{one}", 60)
    def whole(one: str) -> str:
        return part(one, "lock") + part(one, "#lock")

    @cached("part:{one}:{other}", 60)
    def part(one: str, other: str) -> str:
        return other

    assert whole("1") == "lock#lock"
    assert len(client().keys("*")) == 3


def test_functions_whose_keys_differ_live_side_by_side() -> None:
    one = cached("side:{args}", 60)(plain)
    none = cached("side", 60)(nothing)
    two = cached("side:{one}:{other}", 60)(pair)
    assert {one.key_for(1), none.key_for(), two.key_for("1", "2")} == {
        "pyserver:side:1",
        "pyserver:side",
        "pyserver:side:%31:%32",
    }


def test_a_function_that_is_imported_again_keeps_its_keys() -> None:
    here, again = cached("again:{args}", 60)(plain), cached("again:{args}", 60)(plain)
    assert here.key_for(1) == again.key_for(1)
