"""A rogue server: whoever answers in MySQL's place gets neither the password nor a file."""

import hashlib
from pathlib import Path

import pytest
from pymysql import MySQLError

from conf.current import settings
from conf.envfile import EnvFile
from conf.environ import SettingsError, load
from conf.settings import Settings
from tests.support.mysql import in_use, set_mysql
from tests.support.rogue_mysql import (
    OK,
    SALT,
    Answer,
    RogueMySQL,
    Wire,
    accept_hash,
    ask_at_prompt,
    ask_for_all,
    ask_for_file,
    give_key,
    rogue_mysql,
    switch_to,
)
from tests.support.service import certify, wait_until
from utils.errors import UnavailableError
from utils.mysql import mysql
from utils.mysql.connection import Connection
from utils.mysql.login import options, tls_context, tls_mode

PASSWORD = settings.mysql.password.encode()
TRAPS: list[tuple[str, Answer]] = [
    ("mysql_native_password", switch_to("mysql_clear_password")),
    ("mysql_clear_password", ask_for_all),
    ("mysql_native_password", switch_to("mysql_old_password")),
    ("mysql_native_password", ask_at_prompt),
    ("dialog", ask_at_prompt),
    ("sha256_password", lambda wire: None),
    ("sha256_password", give_key),
    ("mysql_native_password", switch_to("sha256_password", give_key)),
    ("caching_sha2_password", ask_for_all),
    ("mysql_native_password", switch_to("caching_sha2_password", ask_for_all)),
    ("caching_sha2_password", switch_to("mysql_clear_password")),
    ("caching_sha2_password", switch_to("caching_sha2_password", ask_for_all)),
    ("", switch_to("mysql_clear_password")),
    ("unheard_of", switch_to("mysql_clear_password")),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    tls_context.cache_clear()
    return certify(tmp_path_factory.mktemp("rogue"))


def connect() -> None:
    Connection(**options()).close()


def check(server: RogueMySQL) -> None:
    """Check that it got neither the password, nor what its key could read, nor a weak hash."""
    for packet in server.received:
        assert PASSWORD not in packet
        assert len(packet) != 256
        assert packet not in (b"\x01", b"\x02")


@pytest.mark.parametrize("tls", ["off", "on", "auto"])
@pytest.mark.parametrize(("method", "login"), TRAPS)
def test_no_one_who_is_not_verified_gets_the_password(
    monkeypatch: pytest.MonkeyPatch,
    files: tuple[Path, Path],
    tls: str,
    method: str,
    login: Answer,
) -> None:
    with rogue_mysql(method, login, files=files if tls == "on" else None) as server:
        set_mysql(monkeypatch, host="127.0.0.1", port=server.port, tls=tls)
        with pytest.raises(MySQLError):
            connect()
        check(server)
    tls_context.cache_clear()


def test_the_pool_says_why_it_does_not_log_in(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with rogue_mysql(login=switch_to("mysql_clear_password")) as server:
        set_mysql(monkeypatch, port=server.port)
        with pytest.raises(UnavailableError, match=r"^MySQL is not available$"):
            mysql.value("SELECT 1")
    assert "the server wants the password itself" in caplog.text
    assert PASSWORD.decode() not in caplog.text


@pytest.mark.parametrize("tls", ["verify", "verify-ca"])
@pytest.mark.parametrize(
    ("method", "login"),
    [
        ("sha256_password", lambda wire: None),
        ("mysql_native_password", switch_to("mysql_clear_password")),
        ("caching_sha2_password", ask_for_all),
    ],
)
def test_a_server_that_is_verified_may_ask_for_it(
    monkeypatch: pytest.MonkeyPatch,
    files: tuple[Path, Path],
    tls: str,
    method: str,
    login: Answer,
) -> None:
    with rogue_mysql(method, login, files=files) as server:
        set_mysql(monkeypatch, port=server.port, tls=tls, tls_ca=str(files[0]))
        with pytest.raises(MySQLError):  # at what comes after the login
            connect()
        assert any(PASSWORD in packet for packet in server.received)
    tls_context.cache_clear()


@pytest.mark.parametrize("tls", ["verify", "verify-ca"])
def test_a_certificate_of_somebody_else_verifies_nothing(
    monkeypatch: pytest.MonkeyPatch, files: tuple[Path, Path], tls: str, tmp_path: Path
) -> None:
    other, _ = certify(tmp_path)
    with rogue_mysql("sha256_password", files=files) as server:
        set_mysql(monkeypatch, port=server.port, tls=tls, tls_ca=str(other))
        with pytest.raises(MySQLError, match="certificate verify failed"):
            connect()
        assert not any(PASSWORD in packet for packet in server.received)
    tls_context.cache_clear()


@pytest.mark.parametrize("method", ["caching_sha2_password", "mysql_native_password"])
def test_a_hash_of_the_password_is_enough_for_a_server_that_knows_it(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def login(wire: object) -> None:
        switch_to("caching_sha2_password", accept_hash)(wire)  # type: ignore[arg-type]

    once, twice = hashlib.sha256(PASSWORD).digest(), hashlib.sha256()
    twice.update(hashlib.sha256(once).digest() + SALT)
    proof = bytes(a ^ b for a, b in zip(once, twice.digest(), strict=True))
    with rogue_mysql(method, login) as server:
        set_mysql(monkeypatch, port=server.port)
        with pytest.raises(MySQLError):
            connect()
        assert server.received[1] == proof
        assert any(b"SET NAMES" in packet for packet in server.received)  # it is logged in


@pytest.mark.parametrize("when", ["at the login", "later"])
def test_no_file_is_sent(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    def query(wire: Wire) -> None:
        if b"SELECT" in wire.received[-1]:
            ask_for_file(wire)
        else:
            wire.send(OK)

    if when == "later":
        monkeypatch.setattr(Connection, "set_up", lambda connection: None)
    with rogue_mysql(query=query) as server:
        set_mysql(monkeypatch, port=server.port)
        with pytest.raises(UnavailableError, match=r"^MySQL is not available$"):
            mysql.value("SELECT 1")
        assert not any(b"root:" in packet for packet in server.received)
    wait_until(lambda: in_use() == 0)


@pytest.mark.parametrize(
    ("host", "mode"),
    [
        ("localhost", "off"),
        ("127.0.0.1", "off"),
        ("127.1.2.3", "off"),
        ("::1", "off"),
        ("/run/mysqld/mysqld.sock", "off"),
        ("db", "verify"),
        ("10.0.0.1", "verify"),
        ("0.0.0.0", "verify"),
        ("localhost.evil.example", "verify"),
        ("127.0.0.1.evil.example", "verify"),
    ],
)
def test_a_server_elsewhere_is_verified_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, host: str, mode: str
) -> None:
    set_mysql(monkeypatch, host=host)
    assert tls_mode() == mode
    if not host.startswith("/"):
        set_mysql(monkeypatch, host=host, tls="on")
        assert tls_mode() == "on"


def test_an_authority_of_ones_own_has_to_be_named() -> None:
    with pytest.raises(SettingsError, match="MYSQL_TLS=verify-ca: expected MYSQL_TLS_CA"):
        load(Settings, {"MYSQL_TLS": "verify-ca"}, EnvFile({}, []))
