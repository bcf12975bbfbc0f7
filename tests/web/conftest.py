"""A service with routes of the tests: readers of bodies, and a view of what the request is."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from server import Server
from tests.support.service import ROOT, Service

ROUTES = """
    @expose("/read/<reader>", methods=["POST"])
    def read(self, request: Request, reader: str) -> Response:
        return self.seen(request, reader)

    @expose("/large/<reader>", methods=["POST"], max_body_bytes=60_000_000)
    def read_large(self, request: Request, reader: str) -> Response:
        return self.seen(request, reader)

    @expose("/small/<reader>", methods=["POST"], max_body_bytes=10)
    def read_small(self, request: Request, reader: str) -> Response:
        return self.seen(request, reader)

    def seen(self, request: Request, reader: str) -> Response:
        import readers
        from utils.web import Envelope

        value = (readers.READERS | readers.OTHERS)[reader](request)
        return Envelope(request.uuid, {}, len(value))

    @expose("/upload", methods=["POST"], max_body_bytes=60_000_000)
    def upload(self, request: Request) -> Response:
        import hashlib
        from utils.web import Envelope

        file = hashlib.file_digest(request.files["file"].stream, "sha256").hexdigest()
        body = hashlib.file_digest(request.stream, "sha256").hexdigest()
        return Envelope(request.uuid, {}, [file, body])

    @expose("/seen/", methods=["GET", "POST"], strict_slashes=True)
    def show_request(self, request: Request) -> Response:
        from utils.web import Envelope

        names = ("client", "remote_addr", "access_route", "scheme", "host", "url")
        return Envelope(request.uuid, {}, {name: getattr(request, name) for name in names})
"""


def start(**settings: str | int) -> Service:
    """Start a service of one worker with these routes."""
    service = Service(WORKERS=1, **settings)
    shutil.copy(ROOT / "tests/support/readers.py", service.root)
    service.add_to_server(ROUTES.strip("\n"))
    service.sh("start", check=True)
    return service


@pytest.fixture(scope="module")
def reading() -> Iterator[Service]:
    """A service that nobody is a trusted proxy of, with a small limit of bodies."""
    service = start(MAX_BODY_BYTES=10_000)
    yield service
    service.remove()


@pytest.fixture(scope="module")
def proxied() -> Iterator[Service]:
    """A service whose proxies are this machine and 10.0.0.0/8."""
    service = start(TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8")
    yield service
    service.remove()


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the method of /test raise."""

    def make(error: BaseException) -> None:
        def api_test(self: Server, request: Any) -> None:
            raise error

        monkeypatch.setattr(Server, "api_test", api_test)

    return make
