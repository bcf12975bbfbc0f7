"""REDIS_: where Redis is may be said in several ways, but in one only."""

import subprocess
from pathlib import Path

import pytest

from conf.current import read_again
from conf.envfile import EnvFile
from conf.environ import SettingsError, load
from conf.groups import sentinel_addresses
from conf.settings import Settings
from tests.support.required import required_settings
from tests.support.service import certify

NO_FILE = EnvFile({}, [])


def settings(**environ: str) -> Settings:
    return load(Settings, required_settings() | environ, NO_FILE)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://eve@cache:1/2", ("cache", 1, "eve", "", 2, "off")),
        ("rediss://eve:p%40s@cache", ("cache", 6379, "eve", "p@s", 0, "verify")),
        ("unix:///run/redis.sock", ("/run/redis.sock", 6379, "", "", 0, "off")),
        ("unix://eve:x@/run/redis.sock?db=3", ("/run/redis.sock", 6379, "eve", "x", 3, "off")),
    ],
)
def test_a_url_sets_what_stands_in_it(url: str, expected: tuple[object, ...]) -> None:
    redis = settings(REDIS_URL=url).redis
    found = (redis.host, redis.port, redis.user, redis.password, redis.db, redis.tls)
    assert found == expected
    assert redis.configured


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ("REDIS_HOST=a REDIS_SENTINELS=b REDIS_MASTER=c", "REDIS_HOST, REDIS_SENTINELS: expected"),
        ("REDIS_URL=redis://a REDIS_SENTINELS=b REDIS_MASTER=c", "REDIS_HOST, REDIS_SENTINELS: "),
        ("REDIS_SENTINELS=a", "REDIS_SENTINELS, REDIS_MASTER: expected both or none"),
        ("REDIS_MASTER=a", "REDIS_SENTINELS, REDIS_MASTER: expected both or none"),
        (
            "REDIS_SENTINELS=a:b REDIS_MASTER=c",
            "REDIS_SENTINELS in environment: expected host:port",
        ),
        ("REDIS_SENTINELS=me:x@a REDIS_MASTER=c", "REDIS_SENTINELS in environment: expected host"),
        ("REDIS_HOST=/run/a REDIS_TLS=verify", "REDIS_TLS: expected off with a Unix socket"),
        ("REDIS_HOST=//a", "REDIS_HOST in environment: expected"),
        ("REDIS_HOST=a REDIS_TLS_KEY={key}", "REDIS_TLS_KEY: expected REDIS_TLS_CERT too"),
        ("REDIS_HOST=a REDIS_TLS_CERT={certificate}", "REDIS_TLS_CERT: expected REDIS_TLS=verify"),
        ("REDIS_TLS_KEY={certificate}", "REDIS_TLS_KEY in environment: expected a PEM file with a"),
        ("REDIS_TLS_KEY=/nowhere", "that is not encrypted (No such file or directory)"),
        ("REDIS_TLS_KEY={encrypted}", "that is not encrypted (there is none in it)"),
        ("REDIS_TLS_KEY={old_encrypted}", "that is not encrypted (there is none in it)"),
        ("REDIS_URL=redis://a REDIS_USER=eve", "REDIS_USER, REDIS_URL: expected only one of them"),
    ],
)
def test_what_contradicts_itself_is_refused(environ: str, fault: str, tmp_path: Path) -> None:
    certificate, key = certify(tmp_path)
    files = {"certificate": certificate, "key": key}
    for name, form in (
        ("encrypted", "pkcs8 -topk8"),
        ("old_encrypted", "rsa -aes128 -traditional"),
    ):
        files[name] = tmp_path / name
        command = f"openssl {form} -in {key} -out {files[name]} -passout pass:secret"
        subprocess.run(command.split(), check=True, capture_output=True)
    pairs = environ.format_map(files).split()
    with pytest.raises(SettingsError) as raised:
        settings(**dict(pair.split("=", 1) for pair in pairs))
    assert fault in str(raised.value)
    assert str(raised.value).count("\n") == 1


def test_sentinels_are_hosts_and_ports() -> None:
    expected = [("a.example", 1), ("::1", 2), ("10.0.0.1", 26379)]
    assert sentinel_addresses("a.example:1, [::1]:2,10.0.0.1") == expected


def test_a_secret_is_read_again_where_it_is_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text("redis://:new@cache\n")
    monkeypatch.delenv("REDIS_HOST")
    monkeypatch.delenv("REDIS_PORT")
    assert read_again("REDIS_PASSWORD", "known") == "known"  # it stands in the environment
    monkeypatch.delenv("REDIS_PASSWORD")
    monkeypatch.setenv("REDIS_URL_FILE", str(file))
    assert read_again("REDIS_PASSWORD", "known") == "new"
    monkeypatch.delenv("REDIS_URL_FILE")
    monkeypatch.setenv("REDIS_PASSWORD_FILE", str(file))
    file.write_text("newer\n")
    assert read_again("REDIS_PASSWORD", "known") == "newer"
    file.unlink()
    assert read_again("REDIS_PASSWORD", "known") == "known"
