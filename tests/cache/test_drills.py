"""A drill: nobody ever gets what is older than a change, whatever is hung, reset, cut or killed."""

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import gevent
import pytest
from gevent.pool import Pool as Greenlets

from conf.current import settings
from tests.support.cache import LoadThing, Store, Thing
from tests.support.proxy import Proxy
from tests.support.service import wait_until
from utils.cache.breaker import breaker
from utils.errors import UnavailableError

NAMES = [f"thing {number}" for number in range(10)]


class SlowStore(Store):
    """A store whose loads have the value in hand for a while, and which knows what was promised."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.promised = dict.fromkeys(NAMES, 0)  # the newest change whose `with` has ended
        self.broken: list[tuple[str, int, int]] = []
        self.things = {name: Thing(name, 0) for name in NAMES}

    def load(self, name: str) -> Thing | None:
        found = super().load(name)
        gevent.sleep(random.uniform(0, 0.02))
        return found

    def write(self, name: str) -> int:
        """Make a change, and return its number."""
        number = next(self.numbers)
        self.things[name] = Thing(name, number)
        return number

    def read(self, load: LoadThing, name: str) -> None:
        """Read, and compare with what was promised before."""
        promised = self.promised[name]
        found = load(name)
        assert found
        if found.size < promised:
            self.broken.append((name, found.size, promised))

    def change(self, load: LoadThing, name: str) -> None:
        """Make a change, or one that fails and that MySQL makes later, as long as it may."""
        with load.invalidating(name):
            gevent.sleep(random.uniform(0, 0.01))
            if random.random() < 0.02:
                late = random.uniform(0, settings.uncertain_seconds / 2)
                gevent.spawn_later(late, self.write, name)
                raise UnavailableError
            number = self.write(name)
            gevent.sleep(random.uniform(0, 0.01))
        self.promised[name] = max(self.promised[name], number)


def cut(call: Callable[[LoadThing, str], None], load: LoadThing, name: str) -> None:
    """Call; one call in fifty is cut."""
    timeout = gevent.Timeout(random.uniform(0, 0.05))
    with suppress(UnavailableError, gevent.Timeout):
        if random.random() < 0.02:
            timeout.start()
        try:
            call(load, name)
        finally:
            timeout.close()


@contextmanager
def trouble(proxy: Proxy) -> Iterator[None]:
    """Hang, reset and close the connections to Redis inside the block."""

    def make_trouble() -> None:
        while True:
            gevent.sleep(random.uniform(0, 0.5))
            match random.randrange(3):
                case 0:
                    proxy.hang()
                    gevent.sleep(random.choice((0.02, settings.redis.timeout * 1.5)))
                    proxy.go_on()
                case 1:
                    proxy.reset(*list(proxy.connections))
                case 2:
                    proxy.close()
                    gevent.sleep(0.02)
                    proxy.open()

    troublemaker = gevent.spawn(make_trouble)
    try:
        yield
    finally:
        troublemaker.kill()
        proxy.go_on()
        if not proxy.server.started:
            proxy.open()


# redis-py leaves the socket of a connect that is cut to the garbage collector, which closes it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nobody_gets_what_is_older_than_a_change(redis: object, redis_proxy: Proxy) -> None:
    store = SlowStore()
    workers = [store.worker() for _ in range(4)]
    greenlets = Greenlets(60)
    with trouble(redis_proxy):
        for _ in range(10_000):
            call = store.change if random.random() < 0.1 else store.read
            greenlet = greenlets.spawn(cut, call, random.choice(workers), random.choice(NAMES))
            if random.random() < 0.005:
                gevent.spawn_later(random.uniform(0, 0.02), greenlet.kill, block=False)
        greenlets.join()
    assert store.broken == []
    wait_until(lambda: not breaker().open)
    gevent.sleep(settings.uncertain_seconds)  # until then MySQL may still make changes
    for name in NAMES:
        assert [load(name) for load in workers] == [store.things[name]] * 4
    assert all(not load.flights().in_flight for load in workers)
