"""What the tests of MySQL share: a table, and a schema of their own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pymysql
import pytest
from msgspec import structs

from conf.current import settings
from tests.support.mysql import close_idle, in_use
from tests.support.proxy import Proxy
from tests.support.schema import Schema, copy_code
from tests.support.service import Service, wait_until
from utils.dev.servers import MariaDB
from utils.mysql import errors, execute


@pytest.fixture
def accounts(mariadb: MariaDB, mysql_proxy: Proxy) -> Iterator[MariaDB]:
    """A table with two accounts, and new connections for each test."""
    mariadb.run(
        "DROP TABLE IF EXISTS pyserver.accounts",
        "CREATE TABLE pyserver.accounts"
        " (id INT PRIMARY KEY AUTO_INCREMENT, cents INT NOT NULL, open BOOL DEFAULT 1)",
        "INSERT INTO pyserver.accounts (id, cents) VALUES (1, 100), (2, 100)",
    )
    close_idle()
    yield mariadb
    mysql_proxy.go_on()
    wait_until(lambda: in_use() == 0)
    close_idle()


@pytest.fixture
def small_packets(accounts: MariaDB) -> Iterator[None]:
    """The limit of MariaDB, which is a quarter of MySQL's."""
    (row,) = accounts.run("SELECT @@max_allowed_packet AS bytes")
    accounts.run("SET GLOBAL max_allowed_packet = 16777216")
    close_idle()
    yield
    accounts.run(f"SET GLOBAL max_allowed_packet = {row['bytes']}")
    close_idle()


@pytest.fixture
def locked(accounts: MariaDB) -> Iterator[None]:
    """Somebody else has all rows of the table."""
    socket = str(accounts.socket)
    with pymysql.connect(unix_socket=socket, user=accounts.user, database="pyserver") as other:
        other.cursor().execute("SELECT * FROM accounts FOR UPDATE")
        yield


@pytest.fixture
def show_values(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to set LOG_SQL_VALUES."""

    def show() -> None:
        new = structs.replace(settings, log=structs.replace(settings.log, sql_values=True))
        for module in (errors, execute):
            monkeypatch.setattr(module, "settings", new)

    return show


@pytest.fixture
def schema(tmp_path: Path, mariadb: MariaDB) -> Schema:
    """A database of its own, and a copy of the code without migrations."""
    env = {name: os.environ[name] for name in os.environ if not name.startswith("MYSQL_")}
    return Schema(copy_code(tmp_path / "copy"), env, mariadb, f"schema_{uuid4().hex}")


@pytest.fixture
def service_schema(service: Service, mariadb: MariaDB) -> Schema:
    """The same, of a service that can be started."""
    return Schema(service.root, service.env, mariadb, f"schema_{uuid4().hex}")
