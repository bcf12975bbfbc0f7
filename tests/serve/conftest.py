"""Services whose requests last as long as a test wants."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import Service, wait_until
from tests.support.wire import Client

GATE = '''
    @expose("/gate", methods=["GET", "POST"], timeout=100)
    def gate(self, request: Request) -> Response:
        """Respond once the file `open` is there, with the length of the body."""
        import time
        from pathlib import Path
        from utils.web import Envelope
        with Path("begun").open("a") as file:
            file.write("x")
        try:
            while not Path("open").exists():
                time.sleep(0.01)
        finally:  # not if the process is killed
            Path("ended").touch()
        return Envelope(request.uuid, {}, len(request.get_data()))

    @expose("/block", methods=["GET", "POST"])
    def block(self, request: Request) -> Response:
        """Occupy the whole worker until the file `open` is there."""
        import time
        from gevent import monkey
        from pathlib import Path
        from utils.web import Envelope
        Path("begun").write_text("x")
        while not Path("open").exists():
            monkey.get_original("time", "sleep")(0.01)
        return Envelope(request.uuid, {}, None)

    @expose("/nap", methods=["POST"])
    def nap(self, request: Request) -> Response:
        """Occupy the whole worker while the file `napping` is there, and 0.3 s longer."""
        from gevent import monkey
        from pathlib import Path
        sleep = monkey.get_original("time", "sleep")
        Path("napping").touch()
        while Path("napping").exists():
            sleep(0.01)
        sleep(0.3)
        return Response(b"")

    @expose("/large", methods=["GET"])
    def large(self, request: Request) -> Response:
        """Respond with more than the kernel's buffers hold."""
        return Response(b"x" * 30_000_000)
'''


class Gated(Service):
    """A service with routes that last until the test opens the gate.

    Its times for idle connections and for a stop are longer than any test waits.
    """

    def __init__(self) -> None:
        super().__init__(KEEPALIVE=90, GRACEFUL_TIMEOUT=60)
        self.add_to_server(GATE)
        self.clients: list[Client] = []

    def connect(self, data: bytes = b"") -> Client:
        """Return a client that has sent these bytes."""
        self.clients.append(Client(self).send(data))
        return self.clients[-1]

    def await_begun(self, count: int = 1) -> None:
        """Wait until so many requests are in flight."""
        wait_until(lambda: file_size(self.root / "begun") == count)

    def open_gate(self) -> None:
        (self.root / "open").touch()

    def shut_gate(self) -> None:
        for name in ("begun", "open"):
            (self.root / name).unlink(missing_ok=True)

    def remove(self) -> None:
        for client in self.clients:
            client.close()
        self.open_gate()
        super().remove()


def file_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.fixture
def gated() -> Iterator[Gated]:
    """A gated service, not started."""
    service = Gated()
    yield service
    service.remove()


@pytest.fixture(scope="package")
def running() -> Iterator[Service]:
    """A started service that the tests of this folder share."""
    service = Service(MAX_BODY_BYTES=10_000, WORKERS=1)
    service.add_route("seen", "return Envelope(request.uuid, {}, request.args['a'])")
    service.add_route("leave", "import sys; sys.exit('gone')")
    service.add_route("surrogate", "return Envelope(request.uuid, {}, chr(0xD800))")
    service.add_route("header", "return Response('x', headers={'A b': 'c'})")
    service.sh("start", check=True)
    yield service
    service.remove()
