"""What stands under a key and cannot be read counts as not there, and is said once."""

from collections.abc import Callable

import gevent
import pytest

from tests.support.cache import Store, Thing, joined
from tests.support.service import wait_until
from utils.cache import client
from utils.cache.breaker import breaker
from utils.cache.keys import lock_key
from utils.cache.lease import MAX_BYTES

KEY = "pyserver:thing:a"
VALUES = {
    "not JSON": b"{",
    "of another release": b'{"name":"a"}',
    "not UTF-8": b"\xff",
    "not UTF-8 inside": b'{"name":"\xff\xfe","size":1}',
    "half a surrogate": b'{"name":"\\ud800","size":1}',
    "nested deeply": b'{"other":' + b"[" * 500_000 + b"]" * 500_000 + b',"name":"a","size":1}',
    "a huge number": b'{"name":"a","size":1e999}',
    "many digits": b'{"name":"a","size":' + b"9" * 10_000 + b"}",
    "NUL": b"\0",
    "blank": b" ",
}


def write_list(key: str) -> None:
    client().lpush(key, "x")


def write_hash(key: str) -> None:
    client().hset(key, "name", "x")


def write_stream(key: str) -> None:
    client().xadd(key, {"name": "x"})


def write_large(key: str) -> None:
    """As much as could not be read in time, of which Redis itself makes short work."""
    client().setrange(key, 20 * MAX_BYTES, b"x")


TYPES = [write_list, write_hash, write_stream, write_large]


def check(store: Store) -> None:
    """Check that the value is loaded, and after that cached."""
    load = store.worker()
    assert load("a") == Thing("a", 1)
    loaded = store.loads
    load("a")
    after = store.loads
    assert [load("a"), load("a")] == [Thing("a", 1)] * 2
    assert store.loads == after <= loaded + 1
    assert not breaker().open


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_a_value_that_cannot_be_read_is_loaded_anew(
    store: Store, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    client().set(KEY, value)
    check(store)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert KEY in caplog.text


@pytest.mark.parametrize("write", TYPES)
def test_what_is_no_value_of_ours_is_loaded_anew(
    store: Store, write: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    write(KEY)
    check(store)
    assert len(caplog.records) <= 1


@pytest.mark.parametrize("write", TYPES)
def test_what_is_no_lock_of_ours_holds_nobody_up(
    store: Store, write: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    write(lock_key(KEY))
    load = store.worker()
    assert [load("a"), load("a")] == [Thing("a", 1)] * 2
    assert store.loads == 1
    with load.invalidating("a"):
        store.things["a"] = Thing("a", 2)
        write(lock_key(KEY))
    assert [load("a"), load("a")] == [Thing("a", 2)] * 2
    assert caplog.text == ""


def test_a_mark_that_never_expires_is_none(store: Store) -> None:
    client().set(lock_key(KEY), "uncertain")
    load = store.worker()
    assert [load("a"), load("a")] == [Thing("a", 1)] * 2
    assert store.loads == 1


@pytest.mark.parametrize("write", TYPES)
def test_a_load_whose_lock_was_overwritten_stores_nothing(
    store: Store, write: Callable[[str], None]
) -> None:
    load = store.worker()
    store.hold()
    call = gevent.spawn(load, "a")
    wait_until(lambda: store.loads == 1)
    client().delete(lock_key(KEY))
    write(lock_key(KEY))
    store.let(1)
    assert call.get() == Thing("a", 1)
    assert not client().exists(KEY)
    assert joined(load) == 0


def test_a_result_that_is_too_large_is_returned_and_not_cached(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    name = "x" * MAX_BYTES
    store.things["a"] = Thing(name, 1)
    load = store.worker()
    assert [load("a"), load("a")] == [Thing(name, 1)] * 2
    assert store.loads == 2
    assert f"{KEY}' is not cached: it has " in caplog.text
    assert not breaker().open
    assert client().keys("*") == []
