"""MYSQL_TLS: off, on, verify-ca, verify; and a Unix socket in place of a host."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymysql.converters import escape_string

from conf.envfile import EnvFile
from conf.environ import SettingsError, load
from conf.settings import Settings
from tests.support.mysql import close_idle, kill_all, refused, set_mysql
from tests.support.required import required_settings
from tests.support.service import certify
from utils.dev.servers import MariaDB
from utils.mysql import mysql
from utils.mysql.login import tls_context


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for 127.0.0.1, which is its own authority, and its key."""
    certificate, key = certify(tmp_path_factory.mktemp("certificate"))
    return str(certificate), str(key)


@pytest.fixture(scope="module")
def secure(
    mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory, files: tuple[str, str]
) -> Iterator[MariaDB]:
    """A server with this certificate, whose users have to encrypt."""
    server = type(mariadb)(tmp_path_factory.mktemp("tls"))
    server.own_options += (
        f"--ssl-ca={files[0]}",
        f"--ssl-cert={files[0]}",
        f"--ssl-key={files[1]}",
        "--require-secure-transport=ON",
    )
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
    secure: MariaDB,
    files: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tls: str,
    trusted: bool,
    fits: bool,
) -> None:
    ca = files[0] if trusted else ""
    set_mysql(monkeypatch, port=secure.port, tls=tls, tls_ca=ca)
    if fits:
        cipher: Any = mysql.row("SHOW STATUS LIKE 'Ssl_cipher'")
        assert cipher["Value"]
    else:
        assert refused(mysql.value, "SELECT 1") == "MySQL is not available"


def test_a_certificate_is_shown_to_a_server_that_asks_for_it(
    secure: MariaDB, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secure.run("ALTER USER pyserver REQUIRE X509")
    try:
        how = {"port": secure.port, "tls": "verify", "tls_ca": files[0]}
        set_mysql(monkeypatch, **how)
        assert refused(mysql.value, "SELECT 1") == "MySQL is not available"
        tls_context.cache_clear()
        set_mysql(monkeypatch, **how, tls_cert=files[0], tls_key=files[1])
        assert mysql.value("SELECT 1") == 1
    finally:
        secure.run("ALTER USER pyserver REQUIRE NONE")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"MYSQL_TLS_KEY": "{1}"}, "MYSQL_TLS_KEY: expected MYSQL_TLS_CERT too"),
        ({"MYSQL_TLS_CERT": "{0}", "MYSQL_TLS": "off"}, "MYSQL_TLS_CERT: expected MYSQL_TLS=ver"),
        ({"MYSQL_TLS_CERT": "{1}"}, "MYSQL_TLS_CERT in environment: expected a PEM file"),
        ({"MYSQL_URL": "mysql://db?ssl-key={0}"}, "MYSQL_TLS_KEY in MYSQL_URL in environment: exp"),
    ],
)
def test_a_certificate_that_cannot_be_shown_is_a_fault(
    files: tuple[str, str], environ: dict[str, str], message: str
) -> None:
    given = {name: text.format(*files) for name, text in environ.items()}
    with pytest.raises(SettingsError, match=message):
        load(Settings, required_settings() | given, EnvFile({}, []))


def test_a_password_that_changes_is_read_again_at_the_next_login(
    accounts: MariaDB, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    monkeypatch.delenv("MYSQL_PASSWORD")
    monkeypatch.setenv("MYSQL_PASSWORD_FILE", str(file))
    set_mysql(monkeypatch, host=str(accounts.socket))
    for number, password in enumerate(["é", "'", accounts.password]):
        file.write_text(f"{password}\n")
        accounts.run(f"ALTER USER pyserver IDENTIFIED BY '{escape_string(password)}'")
        kill_all(accounts)  # the pool's connections log in again
        assert mysql.value("SELECT %s", number) == number


def test_a_unix_socket_may_be_the_host(accounts: MariaDB, monkeypatch: pytest.MonkeyPatch) -> None:
    set_mysql(monkeypatch, host=str(accounts.socket), port=1)
    mysql.execute("UPDATE accounts SET cents = 1")
    assert mysql.value("SELECT cents FROM accounts WHERE id = 1") == 1
