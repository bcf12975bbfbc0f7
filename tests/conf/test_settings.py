"""Settings: where they come from, and what happens when they are wrong."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta, Struct, defstruct

from conf.envfile import EnvFile
from conf.environ import SettingsError, find, load
from conf.setting import Secret, settings_of, unknown_names
from conf.settings import Settings
from tests.support.required import required_settings
from tests.support.service import Service, certify


class Inner(Struct, frozen=True, kw_only=True):
    """A group."""

    size: Annotated[Annotated[int, Meta(ge=1)], "a size"] = 3


class Example(Struct, frozen=True, kw_only=True):
    """Settings as a service might have them."""

    port: Annotated[int, Meta(ge=1, le=9), "a port"]
    ratio: Annotated[float, "a ratio"] = 0.5
    password: Annotated[Secret, "a secret"] = Secret("")
    inner: Inner


NO_FILE = EnvFile({}, [])


def source(name: str, environ: dict[str, str], env_file: dict[str, str]) -> str:
    (setting,) = [setting for setting in settings_of(Example) if setting.name == name]
    return find(setting, environ, EnvFile(env_file, [])).source


def config(service: Service, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "conf", *arguments],
        cwd=service.root,
        text=True,
        capture_output=True,
        env=required_settings() | env,
    )


def test_the_environment_wins_over_the_file_and_the_file_over_the_default() -> None:
    assert load(Example, {"PORT": "1"}, EnvFile({"PORT": "2", "RATIO": "2.5"}, [])) == Example(
        port=1, ratio=2.5, inner=Inner()
    )
    assert source("PORT", {"PORT": "1"}, {"PORT": "2"}) == "environment"
    assert source("PORT", {}, {"PORT": "2"}) == ".env"
    assert source("RATIO", {}, {}) == "default"


def test_the_name_of_a_group_stands_before_those_of_its_fields() -> None:
    assert load(Example, {"PORT": "1", "INNER_SIZE": "5"}, NO_FILE).inner.size == 5
    with pytest.raises(
        SettingsError, match="INNER_SIZE in environment: expected an integer, at least 1"
    ):
        load(Example, {"PORT": "1", "INNER_SIZE": "0"}, NO_FILE)


def test_every_fault_is_listed_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Example, {"RATIO": "half", "PASSWORD_FILE": str(tmp_path / "none")}, NO_FILE)
    lines = str(caught.value).splitlines()
    assert lines[1] == "  PORT is not set: expected an integer, at least 1, at most 9"
    assert lines[2] == "  RATIO in environment: expected a number"
    assert lines[3] == (
        "  PASSWORD_FILE in environment: expected the path of a readable file "
        "(No such file or directory)"
    )


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Meta(gt=0, le=1), "a number, above 0, at most 1"),
        (Meta(le=5), "a number, at most 5"),
        (Meta(ge=0, lt=9), "a number, at least 0, below 9"),
    ],
)
def test_a_fault_tells_every_limit(limits: Meta, expected: str) -> None:
    made = defstruct("Made", [("ratio", Annotated[Annotated[float, limits], "a ratio"])])
    with pytest.raises(SettingsError, match=f"RATIO is not set: expected {expected}$"):
        load(made, {}, NO_FILE)


@pytest.mark.parametrize("kind", [int, Annotated[int, Meta(ge=1)]])
def test_a_setting_without_a_meaning_is_refused_by_name(kind: object) -> None:
    made = defstruct("Made", [("size", kind)])
    with pytest.raises(TypeError, match=r'Made.size: expected Annotated\[type, "meaning"\]'):
        list(settings_of(made))


def test_a_secret_is_read_from_its_file_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    settings = load(Example, {"PORT": "1", "PASSWORD_FILE": str(file)}, NO_FILE)
    assert settings.password == "hunter2"
    assert "hunter2" not in repr(settings)
    assert source("PASSWORD", {"PASSWORD_FILE": str(file)}, {}).startswith("PASSWORD_FILE")


def test_a_secret_and_its_file_together_are_a_fault_that_does_not_tell_it() -> None:
    with pytest.raises(SettingsError) as caught:
        load(Example, {"PORT": "1", "PASSWORD": "hunter2", "PASSWORD_FILE": "/x"}, NO_FILE)
    assert "PASSWORD, PASSWORD_FILE" in str(caught.value)
    assert "hunter2" not in str(caught.value)


class OtherSecret(Secret):
    """A kind of secret of a service's own."""

    __slots__ = ()


@pytest.mark.parametrize("kind", [OtherSecret, Secret | None, list[Secret], OtherSecret | int])
def test_a_secret_is_known_by_whatever_class_it_has(kind: object) -> None:
    made = defstruct("Made", [("password", Annotated[kind, "a secret"])])
    (setting,) = settings_of(made)
    assert setting.is_secret
    found = find(setting, {"PASSWORD": "hunter2"}, NO_FILE)
    assert found.value == "hunter2"
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("env", "fault"),
    [
        (
            {"SERVER_PORT": "abc"},
            "SERVER_PORT in environment: expected an integer, at least 1, at most 65535",
        ),
        ({"SERVER_PORT": "70000"}, "SERVER_PORT in environment: expected"),
        ({"SERVER_PORT": ""}, "SERVER_PORT in environment: expected"),
        ({"REQUEST_TIMEOUT": "0"}, "REQUEST_TIMEOUT in environment: expected a number, above 0"),
        ({"REQUEST_TIMEOUT": "inf"}, "REQUEST_TIMEOUT in environment: expected a number, above 0"),
        ({"WORKERS": "0"}, "WORKERS in environment: expected an integer, at least 1, at most 512"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT in environment: expected one of text, json"),
        ({"TRUSTED_PROXIES": "10.0.0.1,nobody"}, "expected addresses or networks with commas"),
        ({"TRUSTED_PROXIES": "10.0.0.1/8"}, "TRUSTED_PROXIES in environment: expected addresses"),
        ({"MYSQL_TLS_CA": "/nowhere"}, "MYSQL_TLS_CA in environment: expected a PEM file"),
        ({"MYSQL_TLS_CA": "/"}, "MYSQL_TLS_CA in environment: expected a PEM file"),
        (
            {"MYSQL_TLS_CA": __file__},
            "expected a PEM file with a certificate (there is none in it)",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_place_and_what_was_expected(
    env: dict[str, str], fault: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Settings, env, NO_FILE)
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


def test_config_of_an_unknown_setting_says_so(service: Service) -> None:
    done = config(service, "SERVER_PROT")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr == "SERVER_PROT is not a setting; sh run.sh config lists them\n"


def test_wrong_settings_stop_config_and_start_with_the_same_message(service: Service) -> None:
    service.env.update(WORKERS="none", LOG_FORMAT="xml")
    fault = (
        "  WORKERS in environment: expected an integer, at least 1, at most 512\n"
        "  LOG_FORMAT in environment: expected one of text, json"
    )
    for verb in ("config", "start"):
        done = service.sh(verb)
        assert done.returncode == 1
        assert fault in done.stderr
        assert "Traceback" not in done.stderr


def test_one_setting_can_be_asked_for_while_others_are_wrong(service: Service) -> None:
    assert config(service, "RUN_DIR", "WORKERS", SERVER_PORT="x").stdout == "run\n2\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('MYSQL_PASSWORD="p@ss\n', ".env, line 1: expected NAME=value"),
        ("MYSQL_PASSWORD='p@ss\nWORKERS=3\n", ".env, line 1: expected NAME=value"),
        ('A=1\nLOG_DIR="x\nRUN_DIR="\n', ".env, line 2: expected one line"),
        ("\n\nSERVER_PORT: 1\n", ".env, line 3: expected NAME=value"),
        ("SERVER_PORT\n", ".env, line 1: expected NAME=value"),
        ("SERVER_PORT = 'a' b\n", ".env, line 1: expected NAME=value"),
        ("=1\n", ".env, line 1: expected NAME=value"),
        ("SERVER_PROT=1\n", ".env, line 1: unknown setting, did you mean SERVER_PORT?"),
        ("WORKRES=1\n", ".env, line 1: unknown setting, did you mean WORKERS?"),
        ("server_port=1\n", ".env, line 1: unknown setting, did you mean SERVER_PORT?"),
        (
            "PORT=1\n",
            ".env, line 1: unknown setting, did you mean SERVER_PORT or MYSQL_PORT or REDIS_",
        ),
        ("user=x\n", ".env, line 1: unknown setting, did you mean MYSQL_USER or REDIS_USER?"),
        ("SERVER-PORT=1\n", ".env, line 1: unknown setting, did you mean SERVER_PORT?"),
        ("server.port=1\n", ".env, line 1: unknown setting, did you mean SERVER_PORT?"),
        ("MYSQL_SSL_MODE=x\n", ".env, line 1: unknown setting, "),
        ("MYSQL_HOST_FILE=x\n", ".env, line 1: unknown setting, "),
        ("\udcff", ".env: expected a readable file in UTF-8"),
        (
            "WORKERS=0\nSERVER_PROT=1",
            "WORKERS in .env: expected an integer, at least 1, at most 512",
        ),
    ],
)
def test_a_fault_in_the_env_file_stops_the_start_and_is_named(
    service: Service, text: str, fault: str
) -> None:
    (service.root / ".env").write_text(text, errors="surrogateescape")
    printed = config(service)
    assert printed.returncode == 1
    assert fault in printed.stderr
    assert "p@ss" not in printed.stderr
    assert "Traceback" not in printed.stderr


def test_a_line_break_of_another_system_and_a_bom_are_no_fault(service: Service) -> None:
    (service.root / ".env").write_bytes(b"\xef\xbb\xbfWORKERS=3\r\nexport LOG_DIR='a b' # c\r\n")
    assert config(service, "WORKERS", "LOG_DIR").stdout == "3\na b\n"


def test_an_env_file_that_is_asked_for_has_to_be_there(service: Service) -> None:
    printed = config(service, ENV_FILE="/nowhere")
    assert "ENV_FILE: expected a readable file in UTF-8 (No such" in printed.stderr


def test_unrelated_names_in_the_env_file_are_ignored(service: Service) -> None:
    (service.root / ".env").write_text("COMPOSE_PROJECT_NAME=x\nTZ=UTC\n")
    assert config(service).returncode == 0


def test_an_unknown_name_with_our_prefix_in_the_environment_is_a_warning(service: Service) -> None:
    environ = {"SERVER_PROT": "1", "MYSQL_PASSWORD_FILE": "/dev/null", "PATH": "/bin"}
    assert unknown_names(Settings, environ) == ["SERVER_PROT"]
    links = {"REDIS_SERVICE_HOST": "", "REDIS_PORT_6379_TCP_ADDR": "", "MYSQL_SERVICE_PORT_DB": ""}
    assert unknown_names(Settings, links) == []
    printed = config(service, SERVER_PROT="1")
    assert (printed.returncode, printed.stderr) == (
        0,
        "SERVER_PROT is set in the environment but is not a setting\n",
    )


def test_a_certificate_is_taken(service: Service, tmp_path: Path) -> None:
    certificate, _ = certify(tmp_path)
    assert config(service, MYSQL_TLS_CA=str(certificate)).returncode == 0


def test_the_example_has_every_setting_with_its_meaning_and_is_taken_as_it_is(
    service: Service,
) -> None:
    example = config(service, "--example").stdout
    for setting in settings_of(Settings):
        assert f"\n# {setting.meaning}\n#{setting.name}=" in example
    (service.root / ".env").write_text(re.sub("^#(?=[A-Z_]+=)", "", example, flags=re.MULTILINE))
    rows = config(service).stdout.splitlines()
    assert {line.split()[0] for line in rows} == {s.name for s in settings_of(Settings)}
    others = [line for line in rows if line.split()[0] not in required_settings()]
    assert all(" .env " in line for line in others)
