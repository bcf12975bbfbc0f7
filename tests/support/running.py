"""Requests under way while the service stops or reloads, and what is left when it is down."""

import socket
import threading
from typing import Any

from tests.support.processes import processes_in
from tests.support.service import Service, wait_until


class Call:
    """A request under way in a thread; its route has begun when this is made."""

    def __init__(self, service: Service, path: str) -> None:
        self.answer: Any = None
        begun = service.folder / "begun"
        begun.unlink(missing_ok=True)
        self.thread = threading.Thread(target=self.run, args=(service, path))
        self.thread.start()
        wait_until(begun.exists)

    def run(self, service: Service, path: str) -> None:
        try:
            self.answer = service.request(path)
        except OSError as error:
            self.answer = (repr(error),)

    def status(self) -> Any:
        self.thread.join()
        return self.answer[0]


SLOW = '''
    @expose("/slow", methods=["GET", "POST"], timeout=100)
    def slow(self, request: Request) -> Response:
        """Tell that this has begun, and respond once `let_end` was called."""
        import time
        from pathlib import Path
        Path({begun!r}).touch()
        while not Path({end!r}).exists():
            time.sleep(0.01)
        return self.respond(TestApi, request)
'''


def add_slow_route(service: Service) -> None:
    """Add a route /slow that responds when `let_end` is called."""
    begun, end = (str(service.folder / name) for name in ("begun", "end"))
    service.add_to_server(SLOW.format(begun=begun, end=end))


def let_end(service: Service) -> None:
    """Let the requests of /slow end."""
    (service.folder / "end").touch()


def port_is_free(service: Service) -> bool:
    """Return whether nobody listens on the service's port."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", service.port)) != 0


def leftovers(service: Service) -> list[str]:
    """Return what a service that is not up has left: processes and files."""
    run = service.folder / "run"
    files = [name for name in ("pid", "state") if (run / name).exists()]
    return [*processes_in(service.folder).values(), *files]
