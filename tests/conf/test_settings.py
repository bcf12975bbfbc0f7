"""Settings: where they come from, and what happens when they are wrong."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta, Struct

from conf.environ import Secret, SettingsError, find, load, settings_of
from conf.settings import Settings
from tests.support.service import Service


class Inner(Struct, frozen=True, kw_only=True):
    """A group."""

    size: Annotated[Annotated[int, Meta(ge=1)], "a size"] = 3


class Example(Struct, frozen=True, kw_only=True):
    """Settings as a service might have them."""

    port: Annotated[int, Meta(ge=1, le=9), "a port"]
    ratio: Annotated[float, "a ratio"] = 0.5
    password: Annotated[Secret, "a secret"] = Secret("")
    inner: Inner


def source(name: str, environ: dict[str, str], dotenv: dict[str, str]) -> str:
    (setting,) = [setting for setting in settings_of(Example) if setting.name == name]
    return find(setting, environ, dotenv).source


def config(service: Service, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "conf", *arguments],
        cwd=service.root,
        text=True,
        capture_output=True,
        env={**env},
    )


def test_the_environment_wins_over_the_file_and_the_file_over_the_default() -> None:
    assert load(Example, {"PORT": "1"}, {"PORT": "2", "RATIO": "2.5"}) == Example(
        port=1, ratio=2.5, inner=Inner()
    )
    assert source("PORT", {"PORT": "1"}, {"PORT": "2"}) == "environment"
    assert source("PORT", {}, {"PORT": "2"}) == ".env"
    assert source("RATIO", {}, {}) == "default"


def test_the_name_of_a_group_stands_before_those_of_its_fields() -> None:
    assert load(Example, {"PORT": "1", "INNER_SIZE": "5"}, {}).inner.size == 5
    with pytest.raises(SettingsError, match="INNER_SIZE='0': expected an integer from 1 up"):
        load(Example, {"PORT": "1", "INNER_SIZE": "0"}, {})


def test_every_fault_is_listed_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Example, {"RATIO": "half", "PASSWORD_FILE": str(tmp_path / "none")}, {})
    lines = str(caught.value).splitlines()
    assert lines[1] == "  PORT is not set: expected an integer from 1 to 9"
    assert lines[2] == "  RATIO='half': expected a number"
    assert lines[3].startswith(f"  PASSWORD_FILE={tmp_path}/none: expected a readable file")


def test_a_secret_is_read_from_its_file_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    settings = load(Example, {"PORT": "1", "PASSWORD_FILE": str(file)}, {})
    assert settings.password == "hunter2"
    assert "hunter2" not in repr(settings)
    assert source("PASSWORD", {"PASSWORD_FILE": str(file)}, {}).startswith("PASSWORD_FILE")


def test_a_secret_and_its_file_together_are_a_fault_that_does_not_tell_it() -> None:
    with pytest.raises(SettingsError) as caught:
        load(Example, {"PORT": "1", "PASSWORD": "hunter2", "PASSWORD_FILE": "/x"}, {})
    assert "PASSWORD, PASSWORD_FILE" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("env", "fault"),
    [
        ({"SERVER_PORT": "abc"}, "SERVER_PORT='abc': expected an integer from 1 to 65535"),
        ({"SERVER_PORT": "70000"}, "SERVER_PORT='70000': expected"),
        ({"SERVER_PORT": ""}, "SERVER_PORT='': expected"),
        ({"REQUEST_TIMEOUT": "0"}, "REQUEST_TIMEOUT='0': expected a number above 0"),
        ({"REQUEST_TIMEOUT": "inf"}, "REQUEST_TIMEOUT='inf': expected a number above 0"),
        ({"WORKERS": "0"}, "WORKERS='0': expected an integer from 1 to 512"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT='xml': expected one of text, json"),
        ({"KEEPALIVE": "30"}, "KEEPALIVE=30: expected less than GRACEFUL_TIMEOUT=30"),
        ({"TRUSTED_PROXIES": "10.0.0.1,nobody"}, "TRUSTED_PROXIES: 'nobody'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_was_expected(
    env: dict[str, str], fault: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Settings, env, {})
    assert fault in str(caught.value)


def test_config_prints_every_setting_with_value_source_and_meaning(service: Service) -> None:
    (service.root / ".env").write_text("WORKERS=3\nLOG_LEVEL=DEBUG\nLOG_DIR='$HOME'\n")
    printed = config(service, LOG_LEVEL="ERROR").stdout
    rows = {line.split()[0]: line.split(maxsplit=3) for line in printed.splitlines()}
    assert list(rows) == [setting.name for setting in settings_of(Settings)]
    assert rows["WORKERS"] == ["WORKERS", "3", ".env", "worker processes"]
    assert rows["LOG_LEVEL"][1:3] == ["ERROR", "environment"]
    assert rows["LOG_DIR"][1] == "$HOME"
    assert rows["KEEPALIVE"][1:3] == ["5", "default"]


def test_config_masks_secrets(service: Service) -> None:
    printed = config(service, MYSQL_PASSWORD="hunter2").stdout
    assert re.search(r"^MYSQL_PASSWORD +\*\*\* +environment", printed, re.MULTILINE)
    assert "hunter2" not in printed
    assert config(service, "MYSQL_PASSWORD", MYSQL_PASSWORD="hunter2").stdout == "***\n"


def test_wrong_settings_stop_config_and_start_with_the_same_message(service: Service) -> None:
    service.env.update(WORKERS="none", LOG_FORMAT="xml")
    fault = "  WORKERS='none': expected an integer from 1 to 512\n  LOG_FORMAT='xml': expected"
    for verb in ("config", "start"):
        done = service.sh(verb)
        assert done.returncode == 1
        assert fault in done.stderr
        assert "Traceback" not in done.stderr


def test_one_setting_can_be_asked_for_while_others_are_wrong(service: Service) -> None:
    assert config(service, "RUN_DIR", "WORKERS", SERVER_PORT="x").stdout == "run\n2\n"
