"""A Redis for the tests of the cache, and what it caches."""

from collections.abc import Iterator

import pytest
from msgspec import structs

from conf.current import settings
from tests.support.cache import Store
from tests.support.proxy import Proxy
from tests.support.service import wait_until
from utils.cache import breaker as breaker_module
from utils.cache import cached_function
from utils.cache import redis as redis_module
from utils.cache.breaker import breaker
from utils.cache.redis import client
from utils.dev.servers import Redis


@pytest.fixture
def redis(
    redis_server: Redis, redis_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Redis]:
    """An empty Redis that this process has not spoken to yet, and whose return is seen soon."""
    monkeypatch.setattr(breaker_module, "PROBE_SECONDS", 0.05)
    client().connection_pool.disconnect(inuse_connections=False)
    client().flushdb()
    yield redis_server
    redis_proxy.go_on()
    wait_until(lambda: not breaker().open)


@pytest.fixture
def store(redis: Redis) -> Store:
    return Store()


@pytest.fixture
def without_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings without a Redis."""
    none = structs.replace(settings, redis=structs.replace(settings.redis, host=""))
    monkeypatch.setattr(redis_module, "settings", none)
    monkeypatch.setattr(breaker_module, "settings", none)


@pytest.fixture
def uncertain_for_long(monkeypatch: pytest.MonkeyPatch) -> float:
    """Settings with a MySQL that may take a minute to end what was given up; return how long."""
    slow = structs.replace(settings, mysql=structs.replace(settings.mysql, read_timeout=60.0))
    monkeypatch.setattr(cached_function, "settings", slow)
    return slow.uncertain_seconds
