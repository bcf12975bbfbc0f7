"""What belongs to a request goes with it into the greenlets that it spawns."""

import gevent

from utils.context import request_uuid


def test_a_greenlet_has_the_uuid_of_the_request_that_spawned_it() -> None:
    request_uuid.set("first")

    def spawn_another() -> str | None:
        gevent.sleep(0)
        return gevent.spawn(request_uuid.get).get()

    inner = gevent.spawn(spawn_another)
    request_uuid.set("second")
    assert inner.get() == "first"
    assert gevent.spawn(request_uuid.get).get() == "second"
