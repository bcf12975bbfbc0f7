"""What belongs to a request goes with it into the greenlets that it spawns."""

import gevent

from utils.context import request_uuid


def test_a_greenlet_has_the_uuid_of_the_request_that_spawned_it() -> None:
    request_uuid.set("first")
    inner = gevent.spawn(lambda: (gevent.sleep(0), gevent.spawn(request_uuid.get).get()))
    request_uuid.set("second")
    assert inner.get()[1] == "first"
    assert gevent.spawn(request_uuid.get).get() == "second"
