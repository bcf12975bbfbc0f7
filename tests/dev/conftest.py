"""Copies of the project in which `sh run.sh dev` runs."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.support.dev import Dev
from tests.support.processes import processes_in
from tests.support.service import Service

COUNT = (
    "from utils.mysql import mysql; "
    'mysql.execute("INSERT INTO calls VALUES ()"); '
    'return Envelope(request.uuid, {}, mysql.value("SELECT COUNT(*) FROM calls"))'
)


@pytest.fixture
def make_dev(service: Service) -> Iterator[Callable[[], Dev]]:
    yield lambda: Dev(service)
    for pid in processes_in(service.root):
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def dev(make_dev: Callable[[], Dev]) -> Dev:
    """A dev that serves."""
    made = make_dev()
    made.await_line("pyserver is up")
    return made


@pytest.fixture(scope="module")
def shared() -> Iterator[Dev]:
    """A dev that serves, for tests that change nothing."""
    service = Service(MYSQL_PASSWORD="it's $HOME", REDIS_PASSWORD="it's $HOME")
    migration = service.root / "conf/migrations/9000_create_calls.sql"
    migration.write_text("CREATE TABLE calls (id INT PRIMARY KEY)")
    (service.root / ".dev").mkdir(0o755)  # as an older version made it
    made = Dev(service)
    try:
        made.await_line("pyserver is up")
        yield made
    finally:
        made.stop()
        service.remove()


@pytest.fixture
def counting(service: Service) -> Service:
    """A copy with a table, and a route that adds a row and returns how many there are."""
    sql = "CREATE TABLE calls (id INT AUTO_INCREMENT PRIMARY KEY)"
    (service.root / "conf/migrations/9000_create_calls.sql").write_text(sql)
    service.add_route("count", COUNT)
    return service
