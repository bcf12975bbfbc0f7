"""Replies that Redis never gives: they are cut in time, and are no values."""

import gevent
import pytest
from gevent.server import StreamServer
from msgspec import structs

from conf.current import settings
from tests.support.cache import Store, Thing
from tests.support.floods import flood
from tests.support.proxy import Proxy
from utils.cache import breaker as breaker_module
from utils.cache import client
from utils.cache import redis as redis_module
from utils.cache.breaker import breaker
from utils.cache.redis import make_client
from utils.errors import UnavailableError


@pytest.mark.parametrize(
    ("head", "part"),
    [("$999999999999\r\n", "x"), ("+", "x"), ("*100000000\r\n", ":1\r\n"), ("", "*1\r\n")],
    ids=["a text", "a line", "an array", "arrays"],
)
def test_a_reply_without_end_is_cut(
    store: Store, monkeypatch: pytest.MonkeyPatch, head: str, part: str
) -> None:
    """It comes faster than it is read, so that nothing would ever wait."""
    with flood(head, part) as url, monkeypatch.context() as patch:
        endless = structs.replace(settings.redis, port=int(url.rpartition(":")[2]), password="")
        patch.setattr(redis_module, "settings", structs.replace(settings, redis=endless))
        flooded = make_client()
        patch.setattr(breaker_module, "client", lambda: flooded)
        assert store.worker()("a") == Thing("a", 1)
        assert breaker().open
        flooded.close()


@pytest.mark.parametrize("reply", [":7", "*0", "*1\r\n$1\r\na", "+OK", "$0\r\n"])
def test_a_reply_of_another_kind_is_no_value(store: Store, redis_proxy: Proxy, reply: str) -> None:
    redis_proxy.close()

    def talk(sock: gevent.socket.socket, _: object) -> None:
        while sock.recv(65536):
            sock.sendall(f"{reply}\r\n".encode())

    odd = StreamServer(("127.0.0.1", redis_proxy.port), talk)
    odd.start()
    client().connection_pool.disconnect()
    assert store.worker()("a") == Thing("a", 1)
    odd.stop()
    redis_proxy.open()
    client().connection_pool.disconnect()


def test_a_node_of_a_cluster_is_no_redis_of_ours(redis: object, redis_proxy: Proxy) -> None:
    redis_proxy.close()

    def talk(sock: gevent.socket.socket, _: object) -> None:
        while sent := sock.recv(65536):
            sock.sendall(b"+OK\r\n" if b"AUTH" in sent else b"-MOVED 3999 127.0.0.1:6381\r\n")

    node = StreamServer(("127.0.0.1", redis_proxy.port), talk)
    node.start()
    client().connection_pool.disconnect()
    with pytest.raises(UnavailableError) as raised:
        client().get("a")
    assert raised.value.detail.endswith("Redis Cluster is not supported")
    node.stop()
    redis_proxy.open()
