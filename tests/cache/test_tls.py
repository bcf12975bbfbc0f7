"""REDIS_TLS, and a password that is sent without it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from msgspec import structs

from conf.current import settings
from tests.support.service import certify
from utils.cache import redis as redis_module
from utils.cache.redis import make_client
from utils.dev.servers import Redis, free_port
from utils.errors import UnavailableError


class SecureRedis(Redis):
    """A Redis with a certificate for 127.0.0.1, and a port that only speaks TLS."""

    def prepare(self) -> None:
        super().prepare()
        self.certificate, self.key = certify(self.folder)
        self.tls_port = free_port()

    def command(self) -> list[str]:
        files = ["--tls-cert-file", str(self.certificate), "--tls-key-file", str(self.key)]
        clients = ["--tls-auth-clients", "no", "--tls-ca-cert-file", str(self.certificate)]
        return [*super().command(), "--tls-port", str(self.tls_port), *files, *clients]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureRedis]:
    server = SecureRedis(tmp_path_factory.mktemp("tls"))
    server.start()
    yield server
    server.stop()


def connect(monkeypatch: pytest.MonkeyPatch, **changed: object) -> redis_py.Redis:
    new = structs.replace(settings, redis=structs.replace(settings.redis, timeout=5.0, **changed))
    monkeypatch.setattr(redis_module, "settings", new)
    return make_client()


def test_a_redis_whose_certificate_is_verified_is_spoken_to_over_tls(
    secure: SecureRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = str(secure.certificate)
    client = connect(monkeypatch, port=secure.tls_port, tls="verify", tls_ca=certificate)
    assert client.ping()
    assert client.set("a", 1)
    assert client.get("a") == b"1"
    client.close()


def test_a_redis_that_wants_a_certificate_gets_ours(
    secure: SecureRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = str(secure.certificate), str(secure.key)
    how = {"port": secure.tls_port, "tls": "verify", "tls_ca": certificate}
    with redis_py.Redis(port=secure.port, password=secure.password) as admin:
        admin.config_set("tls-auth-clients", "yes")
        nameless = connect(monkeypatch, **how)
        with pytest.raises(UnavailableError):
            nameless.ping()
        known = connect(monkeypatch, **how, tls_cert=certificate, tls_key=key)
        assert known.ping()
        admin.config_set("tls-auth-clients", "no")
        known.close()
        nameless.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_redis_that_is_not_verified_is_not_spoken_to(
    secure: SecureRedis, monkeypatch: pytest.MonkeyPatch, host: str, tmp_path: Path
) -> None:
    """Another authority's certificate, or one for another name."""
    ca = secure.certificate if host == "localhost" else certify(tmp_path)[0]
    client = connect(monkeypatch, host=host, port=secure.tls_port, tls="verify", tls_ca=str(ca))
    with pytest.raises(UnavailableError) as raised:
        client.ping()
    assert "CERTIFICATE_VERIFY_FAILED" in raised.value.detail


@pytest.mark.parametrize(
    ("host", "tls", "told"),
    [
        ("redis", "off", True),
        ("redis", "verify", False),
        ("127.0.0.1", "off", False),
        ("/run/redis.sock", "off", False),
        ("", "off", True),  # by Sentinels
    ],
)
def test_a_password_that_goes_to_another_host_unencrypted_is_told(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    host: str,
    tls: str,
    told: bool,
) -> None:
    by_sentinels = {} if host else {"sentinels": "127.0.0.1,redis:26379", "master": "orders"}
    connect(monkeypatch, host=host, tls=tls, **by_sentinels)
    expected = "Redis: the password is sent unencrypted to another host"
    assert caplog.messages == ([expected] if told else [])
