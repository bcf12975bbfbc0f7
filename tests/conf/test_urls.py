"""MYSQL_URL and REDIS_URL: a server's settings in one, or by themselves, never both."""

from pathlib import Path
from typing import Any

import pytest

from conf.envfile import EnvFile
from conf.environ import SettingsError, find, load
from conf.setting import settings_of
from conf.settings import Settings
from tests.support.required import required_settings

NO_FILE = EnvFile({}, [])
FULL = "mysql://eve:p%40s%2Fs@db.example:3307/shop?ssl-mode=VERIFY_IDENTITY"


def settings(**environ: str) -> Settings:
    return load(Settings, required_settings() | environ, NO_FILE)


def fault(env_file: dict[str, str] | None = None, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(Settings, required_settings() | environ, EnvFile(env_file or {}, []))
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (FULL, ("db.example", 3307, "eve", "p@s/s", "shop", "verify")),
        ("mysql://db", ("db", 3306, "pyserver", "", "pyserver", "auto")),
        ("mysql://eve@db/shop", ("db", 3306, "eve", "", "shop", "auto")),
        ("mysql://eve:a@b:c@[::1]:1/", ("::1", 1, "eve", "a@b:c", "pyserver", "auto")),
        ("mysql://db/?ssl-mode=required", ("db", 3306, "pyserver", "", "pyserver", "on")),
        (
            "mysql://eve:%C3%A9@/shop?socket=/run/My.sock",
            ("/run/My.sock", 3306, "eve", "é", "shop", "auto"),
        ),
    ],
)
def test_a_url_of_mysql_sets_what_stands_in_it(url: str, expected: tuple[Any, ...]) -> None:
    mysql = settings(MYSQL_URL=url).mysql
    found = (mysql.host, mysql.port, mysql.user, mysql.password, mysql.database, mysql.tls)
    assert found == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache", ("cache", 6379, "", 0, "off")),
        ("redis://:secret@cache:1/2", ("cache", 1, "secret", 2, "off")),
        ("rediss://:s%20t@cache/", ("cache", 6379, "s t", 0, "verify")),
    ],
)
def test_a_url_of_redis_sets_what_stands_in_it(url: str, expected: tuple[Any, ...]) -> None:
    redis = settings(REDIS_URL=url).redis
    assert (redis.host, redis.port, redis.password, redis.db, redis.tls) == expected


@pytest.mark.parametrize("place", ["environment", ".env"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MYSQL_HOST", "db"),
        ("MYSQL_HOST", ""),
        ("MYSQL_PORT", "3307"),
        ("MYSQL_USER", "eve"),
        ("MYSQL_PASSWORD", "secret"),
        ("MYSQL_PASSWORD_FILE", __file__),
        ("MYSQL_DATABASE", "shop"),
        ("MYSQL_TLS", "verify"),
    ],
)
def test_what_the_url_sets_is_not_set_beside_it(name: str, value: str, place: str) -> None:
    environ, env_file = ({}, {name: value}) if place == ".env" else ({name: value}, {})
    setting = name.removesuffix("_FILE")
    message = fault(env_file, **environ, MYSQL_URL=FULL)
    assert message == f"wrong settings:\n  {setting}, MYSQL_URL: expected only one of them"


def test_what_the_url_leaves_out_may_be_set_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    mysql = settings(
        MYSQL_URL="mysql://eve@db/shop",
        MYSQL_PASSWORD_FILE=str(file),
        MYSQL_TLS="on",
        MYSQL_POOL_SIZE="3",
    ).mysql
    assert (mysql.password, mysql.tls, mysql.pool_size) == ("secret", "on", 3)


def test_an_empty_url_is_none(tmp_path: Path) -> None:
    assert settings(MYSQL_URL="", MYSQL_HOST="db").mysql.host == "db"


def test_a_url_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(FULL + "\n")
    environ = {"MYSQL_URL_FILE": str(file)}
    assert settings(**environ).mysql.host == "db.example"
    (host,) = [setting for setting in settings_of(Settings) if setting.name == "MYSQL_HOST"]
    assert find(host, environ, NO_FILE).source == "MYSQL_URL_FILE in environment"


@pytest.mark.parametrize(
    "url",
    [
        "db.example",
        "postgres://eve:secret@db/shop",
        "mysql+pymysql://eve:secret@db/shop",
        "mysql:///shop",
        "mysql://eve:secret@/shop",
        "mysql://eve:secret/secret@db/shop",
        "mysql://eve:12/secret@db/shop",
        "mysql://eve:sec#secret@db/shop",
        "mysql://eve:sec?secret@db/shop",
        "mysql://eve:12?secret=1@db/shop",
        "mysql://eve:%FFsecret@db/shop",
        "mysql://[eve:secret@db/shop",
        "mysql://eve:secret@db:secret/shop",
        "mysql://eve:secret@db:99999999/shop",
        "mysql://eve:secret@db/shop?ssl-mode=PREFERRED",
        "mysql://eve:secret@db/shop?ssl-mode=",
        "mysql://eve:secret@db/shop?secret=1",
        "mysql://eve:secret@db/shop?secret",
        "redis://db",
    ],
)
def test_a_url_that_cannot_be_read_is_one_fault_and_tells_no_secret(url: str) -> None:
    message = fault(MYSQL_URL=url)
    assert message.count("\n") == 1
    assert "MYSQL_URL in environment: expected mysql://user:password@host:3306/database" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://db:0", "MYSQL_PORT in MYSQL_URL in environment: expected an integer, at least 1"),
        ("mysql://d%20b", "MYSQL_HOST in MYSQL_URL in environment: expected the name or IP"),
        ("mysql://db?ssl-mode=VERIFY_CA", "MYSQL_TLS=verify-ca: expected MYSQL_TLS_CA"),
        ("mysql://db?ssl-ca=/nowhere", "MYSQL_TLS_CA in MYSQL_URL in environment: expected a PEM"),
    ],
)
def test_what_stands_in_it_is_checked_as_the_setting_is(url: str, message: str) -> None:
    assert message in fault(MYSQL_URL=url)
