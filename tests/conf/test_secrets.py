"""No message about settings repeats a value: it may be a secret that stands in the wrong place."""

import subprocess
import sys

import pytest

from conf.envfile import EnvFile
from conf.environ import SettingsError, load
from conf.setting import settings_of
from conf.settings import Settings
from tests.support.required import required_settings
from tests.support.service import Service

SECRET = "hunter2"
EVERY = list(settings_of(Settings))


def said(service: Service, *arguments: str, **env: str) -> str:
    """Return all that `python -m conf` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "conf", *arguments],
        cwd=service.root,
        text=True,
        capture_output=True,
        env=required_settings() | env,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("setting", EVERY, ids=[setting.name for setting in EVERY])
@pytest.mark.parametrize("value", [f"me:{SECRET}@host", f"{SECRET}\x1b[2J", f"{SECRET}\udc80"])
def test_a_setting_that_is_wrong_is_not_repeated(setting: object, value: str) -> None:
    name = setting.name  # type: ignore[attr-defined]
    for variable in (name, f"{name}_FILE"):
        message = ""
        try:
            load(Settings, {variable: value}, EnvFile({}, []))
        except SettingsError as error:
            message = str(error)
        assert SECRET not in message
        assert message.isascii()


@pytest.mark.parametrize("name", ["MYSQL_HOST", "REDIS_HOST", "SERVER_IP"])
@pytest.mark.parametrize(
    "value",
    [
        f"me:{SECRET}@db",
        f"mysql://me:{SECRET}@db",
        f"{SECRET}@db",
        "db:3306",
        "db/x",
        "a b",
        "[::1]",
    ],
)
def test_a_host_is_a_name_or_an_address_and_nothing_else(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Settings, {name: value}, EnvFile({}, []))
    assert f"{name} in environment: expected" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["db", "db_1.example.", "127.0.0.1", "::1", "fe80::1%eth0", "dä.de"]
)
def test_what_is_a_host_is_taken(value: str) -> None:
    env = required_settings() | {"MYSQL_HOST": value}
    assert load(Settings, env, EnvFile({}, [])).mysql.host == value


@pytest.mark.parametrize(
    "text",
    [
        f"MYSQL_PASSWORD {SECRET}\n",
        f"{SECRET}\n",
        f"MYSQL_PASSWORD: {SECRET}\n",
        f"MYSQL_PASSWORD '{SECRET}'=\n",
        f"MYSQL_PASSWORD='{SECRET}\n",
        f"MYSQL_PASSWORD='a\n{SECRET}'\n",
        f"export {SECRET}\n",
        f"={SECRET}\n",
        f"SERVER_PORT={SECRET}\n",
        f"MYSQL_PASSWORD_FILE={SECRET}\n",
        f"MYSQL_PASSWORD_FILE='{SECRET * 100}'\n",
        f"'MYSQL_{SECRET} x'=1\n",
        f"MYSQL_{SECRET}=1\n",
        f"MYSQL_PASSWORD{SECRET}==\n",
        f"mysql_password-{SECRET}=1\n",
        f"MYSQL_HOST=me:{SECRET}@db\n",
    ],
)
def test_no_line_of_an_env_file_is_repeated(service: Service, text: str) -> None:
    (service.root / ".env").write_text(text)
    for arguments in ((), ("MYSQL_HOST", "MYSQL_PASSWORD", "SERVER_PORT"), ("--example",)):
        printed = said(service, *arguments)
        assert SECRET not in printed
        assert "Traceback" not in printed


def test_what_stands_for_the_name_of_a_file_or_a_setting_is_not_repeated(service: Service) -> None:
    for printed in (
        said(service, ENV_FILE=SECRET),
        said(service, ENV_FILE=f"{SECRET}\x1b"),
        said(service, MYSQL_TLS_CA=SECRET),
        said(service, TRUSTED_PROXIES=SECRET),
    ):
        assert "expected" in printed
        assert SECRET not in printed
        assert "Traceback" not in printed


def test_run_sh_says_no_more_than_that(service: Service) -> None:
    service.env["MYSQL_HOST"] = f"me:{SECRET}@db"
    for verb in ("config", "start", "restart", "run", "migrate", "status", "stop"):
        done = service.sh(verb)
        assert SECRET not in done.stdout + done.stderr


def test_the_password_in_a_url_is_masked(service: Service) -> None:
    printed = said(service, LOG_DIR=f"https://me:{SECRET}@shop.example/x", SERVICE_NAME="shop")
    assert "https://***@shop.example/x" in printed
    assert SECRET not in printed


@pytest.mark.parametrize("name", ["SERVICE_NAME", "RUN_DIR", "MYSQL_USER", "SERVER_SOCKET"])
def test_what_would_command_a_terminal_is_refused(name: str) -> None:
    for value in ("a\x1b[2J", "a\x9b", "a\nb", "a\u202eb"):
        with pytest.raises(SettingsError, match=f"{name} in environment: expected one line"):
            load(Settings, {name: value}, EnvFile({}, []))
