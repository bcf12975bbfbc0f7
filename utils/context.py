"""What belongs to the request at hand, wherever in the code it is asked for."""

import contextvars

import gevent

request_uuid: contextvars.ContextVar[str] = contextvars.ContextVar("request_uuid", default="-")


def inherit(greenlet: gevent.Greenlet) -> None:
    """Start a greenlet in a copy of its spawner's context; gevent starts it in an empty one."""
    greenlet.gr_context = contextvars.copy_context()


gevent.Greenlet.add_spawn_callback(inherit)
