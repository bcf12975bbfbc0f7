"""What the tests of the cache load, and how they look at a load that is under way."""

from collections.abc import Callable

import gevent
from gevent.lock import Semaphore
from msgspec import Struct

from tests.support.proxy import Proxy
from utils.cache import cached
from utils.cache.cached_function import CachedFunction


class Thing(Struct):
    """What is loaded."""

    name: str
    size: int


LoadThing = CachedFunction[[str], Thing | None]


class Store:
    """What a cache stands before: counts the loads, and holds them until they are let go."""

    def __init__(self) -> None:
        self.loads = 0
        self.things: dict[str, Thing] = {"a": Thing("a", 1)}
        self.fault: BaseException | None = None
        self.passes: Semaphore | None = None

    def load(self, name: str) -> Thing | None:
        self.loads += 1
        found = self.things.get(name)
        if self.passes:
            self.passes.acquire()
        if self.fault:
            raise self.fault
        return found

    def hold(self) -> None:
        """Let loads read, and then wait."""
        self.passes = Semaphore(0)

    def let(self, loads: int) -> None:
        """Let so many loads end, of those that wait and those that come."""
        assert self.passes
        for _ in range(loads):
            self.passes.release()

    def worker(self, ttl: float = 60) -> LoadThing:
        """Return a cache before the store, as each worker process has one."""

        def load(name: str) -> Thing | None:
            return self.load(name)

        return cached("thing:{name}", ttl)(load)


def joined(load: LoadThing, key: str = "pyserver:thing:a") -> int:
    """Return how many greenlets wait for a load that another one of their worker has begun."""
    flight = load.flights().in_flight.get(key)
    return flight.result.linkcount() if flight else 0


def waits(call: Callable[[], object]) -> bool:
    """Return whether a call waits for anything: then other greenlets run meanwhile."""
    other = gevent.spawn(lambda: None)
    call()
    waited = other.ready()
    other.join()
    return waited


def lose_what_is_on_its_way(proxy: Proxy) -> None:
    """End a hang in such a way that nothing sent during it arrives."""
    proxy.close()
    proxy.open()
