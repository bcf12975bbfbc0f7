"""Where Redis is, and who we are there: Unix sockets, users, passwords, certificates, Sentinels."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from msgspec import structs

from conf.current import settings
from tests.support.cache import Store, Thing
from tests.support.sentinel import NAME, SentinelServer, make_replica
from tests.support.service import ROOT, wait_until
from utils.cache import breaker as breaker_module
from utils.cache import redis as redis_module
from utils.cache.breaker import breaker
from utils.cache.redis import make_client
from utils.dev.servers import Redis
from utils.errors import UnavailableError


@pytest.fixture
def connect(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Connect by other settings; what is cached goes by that connection too."""
    clients: list[redis_py.Redis] = []

    def make(**changed: Any) -> redis_py.Redis:
        redis = structs.replace(settings.redis, **{"timeout": 2.0, **changed})
        for module in (redis_module, breaker_module):
            patch.setattr(module, "settings", structs.replace(settings, redis=redis))
        clients.append(make_client())
        patch.setattr(breaker_module, "client", lambda: clients[-1])
        return clients[-1]

    with monkeypatch.context() as patch:
        yield make
    for client in clients:
        client.close()


def check_cached(store: Store) -> None:
    load = store.worker()
    load.invalidate("a")
    store.loads = 0
    assert [load("a"), load("a")] == [store.things["a"]] * 2
    assert store.loads == 1
    assert not breaker().open


def test_a_unix_socket_leads_to_redis(
    redis: Redis, store: Store, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    connect(host=str(redis.socket))
    check_cached(store)
    assert caplog.text == ""


def test_a_unix_socket_that_is_not_there_is_a_redis_that_is_down(connect: Any) -> None:
    with pytest.raises(UnavailableError) as raised:
        connect(host="/nowhere/redis.sock").ping()
    assert "No such file or directory" in raised.value.detail


@contextmanager
def user(redis: Redis, rules: str) -> Iterator[None]:
    with redis_py.Redis(port=redis.port, password=redis.password) as admin:
        admin.execute_command("ACL", "SETUSER", "eve", "reset", "on", ">eve's", *rules.split())
        try:
            yield
        finally:
            admin.execute_command("ACL", "DELUSER", "eve")


def test_a_user_with_the_documented_rights_can_cache_and_no_fewer_will_do(
    redis: Redis, store: Store, connect: Any
) -> None:
    (rules,) = re.findall(
        r"ACL SETUSER orders on >secret (.*)", (ROOT / "docs/cache.md").read_text()
    )
    words = rules.replace("orders:", "pyserver:").split()
    for left_out in ("", *words):
        with user(redis, " ".join(word for word in words if word != left_out)):
            connect(user="eve", password="eve's")
            if left_out:
                with pytest.raises((redis_py.ResponseError, UnavailableError)):
                    breaker().catch_up()
            else:
                breaker().catch_up()
                check_cached(store)


def test_a_password_that_changes_is_read_again_at_the_next_login(
    redis: Redis, connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    monkeypatch.delenv("REDIS_PASSWORD")
    monkeypatch.setenv("REDIS_PASSWORD_FILE", str(file))
    file.write_text("eve's\n")
    with user(redis, "+ping"):
        client = connect(user="eve", password="outdated")
        assert client.ping()
        with redis_py.Redis(port=redis.port, password=redis.password) as admin:
            admin.execute_command("ACL", "SETUSER", "eve", "resetpass", ">another")
        client.connection_pool.disconnect()
        with pytest.raises(UnavailableError) as raised:
            client.ping()
        assert "invalid username-password pair" in raised.value.detail
        file.write_text("another\n")
        assert client.ping()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Redis, Redis, SentinelServer]]:
    """A master, its replica, and a Sentinel."""
    master, replica = Redis(tmp_path / "master"), Redis(tmp_path / "replica")
    sentinel = SentinelServer(tmp_path / "sentinel", master)
    master.start()
    replica.start()
    make_replica(replica, master)
    sentinel.start()
    yield master, replica, sentinel
    for server in (sentinel, replica, master):
        server.stop()


def test_sentinels_lead_to_the_master_and_to_the_next_one(
    redis: Redis, store: Store, servers: tuple[Redis, Redis, SentinelServer], connect: Any
) -> None:
    """The first two of the Sentinels are not there, or hang."""
    master, replica, sentinel = servers
    hung = socket.create_server(("127.0.0.1", 0))
    ports = (1, hung.getsockname()[1], sentinel.port)
    client = connect(
        host="",
        sentinels=",".join(f"127.0.0.1:{port}" for port in ports),
        sentinel_password=sentinel.password,
        master=NAME,
    )
    check_cached(store)

    def port() -> str | None:
        with suppress(UnavailableError):
            return str(client.config_get("port")["port"])
        return None

    assert port() == str(master.port)
    with redis_py.Redis(port=sentinel.port, password=sentinel.password) as admin:
        wait_until(
            lambda: [each["master-link-status"] for each in admin.sentinel_slaves(NAME)] == ["ok"]
        )
    master.stop()
    load = store.worker()

    def changes_over() -> bool:
        number = store.things["a"].size + 1
        with load.invalidating("a"):
            store.things["a"] = Thing("a", number)
        assert load("a") == load("a") == Thing("a", number)
        return port() == str(replica.port)

    wait_until(changes_over)
    wait_until(lambda: not breaker().open)
    check_cached(store)
    hung.close()


def test_a_cluster_is_refused_by_name(
    redis: Redis, store: Store, connect: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Node(Redis):
        def command(self) -> list[str]:
            return [*super().command(), "--cluster-enabled", "yes", "--masterauth", ""]

    node = Node(tmp_path / "node")
    node.start()
    try:
        client = connect(port=node.port, password=node.password)
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
        load = store.worker()
        assert [load("a"), load("b"), load("a")] == [Thing("a", 1), None, Thing("a", 1)]
        (told,) = caplog.messages
        assert told.endswith("Redis Cluster is not supported")
    finally:
        node.stop()
