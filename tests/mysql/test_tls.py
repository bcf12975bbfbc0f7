"""MYSQL_TLS: off, on, verify-ca, verify; and a Unix socket in place of a host."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.mysql import close_idle, refused, set_mysql
from tests.support.service import certify
from utils.dev.servers import MariaDB
from utils.mysql import mysql
from utils.mysql.login import tls_context


class SecureMariaDB(MariaDB):
    """A MariaDB with a certificate for 127.0.0.1, and users that have to encrypt."""

    def prepare(self) -> None:
        super().prepare()
        self.certificate, self.key = certify(self.folder)

    def command(self) -> list[str]:
        own = [f"--ssl-cert={self.certificate}", f"--ssl-key={self.key}"]
        return [*super().command(), *own, "--require-secure-transport=ON"]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureMariaDB]:
    server = SecureMariaDB(tmp_path_factory.mktemp("tls"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def own_context() -> Iterator[None]:
    """Neither use a TLS context of the tests before, nor leave one."""
    tls_context.cache_clear()
    yield
    tls_context.cache_clear()
    close_idle()


@pytest.mark.parametrize(
    ("tls", "trusted", "fits"),
    [
        ("off", True, False),
        ("on", False, True),
        ("verify", True, True),
        ("verify", False, False),
        ("verify-ca", True, True),
    ],
)
def test_tls_is_what_the_setting_says(
    secure: SecureMariaDB, monkeypatch: pytest.MonkeyPatch, tls: str, trusted: bool, fits: bool
) -> None:
    ca = str(secure.certificate) if trusted else ""
    set_mysql(monkeypatch, port=secure.port, tls=tls, tls_ca=ca)
    if fits:
        cipher: Any = mysql.row("SHOW STATUS LIKE 'Ssl_cipher'")
        assert cipher["Value"]
    else:
        assert refused(mysql.value, "SELECT 1") == "MySQL is not available"


def test_a_unix_socket_may_be_the_host(accounts: MariaDB, monkeypatch: pytest.MonkeyPatch) -> None:
    set_mysql(monkeypatch, host=str(accounts.socket), port=1)
    mysql.execute("UPDATE accounts SET cents = 1")
    assert mysql.value("SELECT cents FROM accounts WHERE id = 1") == 1
