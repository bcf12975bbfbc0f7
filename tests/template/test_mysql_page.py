"""docs/mysql.md: its examples run, and its settings are the template's."""

import re
from typing import Any

import msgspec
import pytest

import utils.errors
import utils.mysql
from api import Order
from conf.groups import MySQL
from tests.support.mysql import close_idle
from tests.support.proxy import Proxy
from tests.support.service import ROOT
from utils.dev.servers import MariaDB
from utils.errors import ConflictError
from utils.mysql import mysql

PAGE = (ROOT / "docs/mysql.md").read_text()
CREATE = (ROOT / "conf/migrations/0001_create_orders.sql").read_text()


def test_the_examples_run(mariadb: MariaDB, mysql_proxy: Proxy) -> None:
    mariadb.run("USE pyserver", "DROP TABLE IF EXISTS orders", CREATE)
    mariadb.run(
        "USE pyserver",
        "DROP TABLE IF EXISTS accounts, users",
        "CREATE TABLE accounts (id INT PRIMARY KEY, cents INT)",
        "INSERT INTO accounts VALUES (1, 100), (2, 0)",
        "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, email VARCHAR(99),"
        " UNIQUE KEY email (email))",
        "INSERT INTO orders (order_id, item, quantity) VALUES (7, 'tea', 1)",
    )
    close_idle()
    names: dict[str, Any] = {"Order": Order, **vars(utils.errors), **vars(utils.mysql)}
    mysql.execute("ALTER TABLE orders ALTER quantity SET DEFAULT 1")
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    names["transfer"](30, 1, 2)
    assert names["register"]("eve@example.org") == 1
    with pytest.raises(ConflictError, match="taken"):
        names["register"]("eve@example.org")
    assert mysql.rows("SELECT cents FROM accounts ORDER BY id") == [{"cents": -30}, {"cents": 130}]
    assert mysql.value("SELECT COUNT(*) FROM orders") == 4
    close_idle()


def test_the_settings_are_those_of_the_template() -> None:
    told = dict(re.findall(r"`MYSQL_(\w+)=([^`]*)`", PAGE))
    defaults = {field.name.upper(): field.default for field in msgspec.structs.fields(MySQL)}
    assert len(told) == 7
    for name, value in told.items():
        assert value in {str(defaults[name]), str(defaults[name]).removesuffix(".0")}
