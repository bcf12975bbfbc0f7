"""What all tests share: a world without the developer's own settings, and real services."""

from gevent import monkey

monkey.patch_all()

import atexit
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TypeVar

import gevent
import pytest

ROOT = Path(__file__).parent.parent
LONGEST_TEST = 300  # seconds, with what it starts and stops
os.environ["ENV_FILE"] = os.devnull
os.environ["LOG_DIR"] = tempfile.mkdtemp(prefix="pyserver-logs-")
atexit.register(shutil.rmtree, os.environ["LOG_DIR"], ignore_errors=True)
for name in ("PYTHON", "GUNICORN_CMD_ARGS"):
    os.environ.pop(name, None)

from tests.support.required import required_settings

os.environ.update(required_settings() | os.environ | {"SERVICE_NAME": "pyserver"})

from tests.support.proxy import Proxy
from utils.dev.servers import LocalServer, MariaDB, MySQL, Redis, free_port

mysql_port, redis_port = free_port(), free_port()
os.environ.update(
    MYSQL_HOST="127.0.0.1",
    MYSQL_PORT=str(mysql_port),
    MYSQL_PASSWORD=secrets.token_urlsafe(),
    MYSQL_POOL_SIZE="4",
    MYSQL_POOL_TIMEOUT="0.5",
    MYSQL_CONNECT_TIMEOUT="0.5",
    MYSQL_READ_TIMEOUT="1",
    MYSQL_WRITE_TIMEOUT="1",
    REDIS_HOST="127.0.0.1",
    REDIS_PORT=str(redis_port),
    REDIS_PASSWORD=secrets.token_urlsafe(),
)

from werkzeug.test import Client

from app import g_app
from tests.support.mysqld import provide_mysql
from tests.support.programs import need
from tests.support.service import Service
from utils import context

context.setup()

if not Path(sys.prefix, "installed").is_file():
    pytest.exit("run the tests with: sh run.sh test", returncode=2)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mysql", action="store_true", help="a MySQL in place of MariaDB")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("mysql"):
        provide_mysql()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what guards the template itself, unless it is asked for."""
    asked_for = any("template" in argument for argument in config.args)
    return True if collection_path.name == "template" and not asked_for else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, bool, bool]:
    """Fail a test that hangs, where it hangs."""
    with gevent.Timeout(LONGEST_TEST):
        return (yield)


@pytest.fixture
def client() -> Client:
    """A client that calls the application without a server in between."""
    return Client(g_app)


@pytest.fixture(scope="session", params=["dash", "busybox sh"])
def shell(request: pytest.FixtureRequest) -> list[str]:
    """The shells that run.sh has to run under."""
    need("dash", "busybox")
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


S = TypeVar("S", bound=LocalServer)


def run_server(cls: type[S]) -> Iterator[S]:
    """Run a server in a folder of its own until the generator is closed."""
    need(*cls.programs)
    with tempfile.TemporaryDirectory(prefix=f"pyserver-{cls.__name__.lower()}-") as folder:
        server = cls(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def mariadb(request: pytest.FixtureRequest) -> Iterator[MariaDB]:
    """A MariaDB, or with --mysql a MySQL, that runs for all tests."""
    yield from run_server(MySQL if request.config.getoption("mysql") else MariaDB)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A Redis that runs for all tests."""
    yield from run_server(Redis)


@pytest.fixture
def mysql_proxy(mariadb: MariaDB) -> Iterator[Proxy]:
    """What stands between this process's own pool and MariaDB."""
    proxy = Proxy(mysql_port, mariadb.port)
    yield proxy
    proxy.close()


@pytest.fixture
def redis_proxy(redis_server: Redis) -> Iterator[Proxy]:
    """What stands between this process's own cache and Redis."""
    proxy = Proxy(redis_port, redis_server.port)
    yield proxy
    proxy.close()
