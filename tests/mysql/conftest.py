"""What the tests of MySQL share: a table, and a schema of their own."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from msgspec import structs

from conf.current import settings
from tests.support.mysql import close_idle, in_use
from tests.support.proxy import Proxy
from tests.support.schema import Schema
from tests.support.service import Service, wait_until
from utils.dev.servers import MariaDB
from utils.mysql import errors, execute


@pytest.fixture
def accounts(mariadb: MariaDB, mysql_proxy: Proxy) -> Iterator[MariaDB]:
    """A table with two accounts, and new connections for each test."""
    mariadb.run(
        "CREATE OR REPLACE TABLE pyserver.accounts"
        " (id INT PRIMARY KEY AUTO_INCREMENT, cents INT NOT NULL, open BOOL DEFAULT 1)",
        "INSERT INTO pyserver.accounts (id, cents) VALUES (1, 100), (2, 100)",
    )
    close_idle()
    yield mariadb
    mysql_proxy.go_on()
    wait_until(lambda: in_use() == 0)
    close_idle()


@pytest.fixture
def show_values(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to set LOG_SQL_VALUES."""

    def show() -> None:
        new = structs.replace(settings, log=structs.replace(settings.log, sql_values=True))
        for module in (errors, execute):
            monkeypatch.setattr(module, "settings", new)

    return show


@pytest.fixture
def schema(service: Service, mariadb: MariaDB) -> Schema:
    """A copy of the project with a database of its own and no migrations."""
    database = f"schema_{uuid4().hex}"
    mariadb.run(
        f"CREATE DATABASE {database} CHARACTER SET utf8mb4",
        f"GRANT ALL ON {database}.* TO pyserver",
    )
    return Schema(service, mariadb, database)
