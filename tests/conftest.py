"""What all tests share: a world without the developer's own settings, and real services."""

from gevent import monkey

monkey.patch_all()

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
os.environ["ENV_FILE"] = os.devnull
os.environ["LOG_DIR"] = tempfile.mkdtemp(prefix="pyserver-logs-")
for name in ("PYTHON", "GUNICORN_CMD_ARGS"):
    os.environ.pop(name, None)

from werkzeug.test import Client

from app import g_app
from tests.support import Service, install_shells

if not Path(sys.prefix, "installed").is_file():
    pytest.exit("run the tests with: sh run.sh test", returncode=2)


@pytest.fixture
def client() -> Client:
    """A client that calls the application without a server in between."""
    return Client(g_app)


@pytest.fixture(scope="session", params=["dash", "busybox sh"])
def shell(request: pytest.FixtureRequest) -> list[str]:
    """The shells that run.sh has to run under."""
    install_shells()
    return str(request.param).split()


@pytest.fixture
def make_service() -> Iterator[Callable[..., Service]]:
    """Make copies of the project, each with a port and folders of its own; stop them at the end."""
    made: list[Service] = []

    def make(**settings: str | int) -> Service:
        made.append(Service(**settings))
        return made[-1]

    yield make
    for service in made:
        service.remove()


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    """A copy of the project, not started."""
    return make_service()


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    """A started service that the tests of a module share."""
    service = Service(MAX_BODY_BYTES=10_000, WORKERS=1)
    service.sh("start", check=True)
    yield service
    service.remove()
