"""A Sentinel that watches a master."""

from pathlib import Path

import redis

from tests.support.service import wait_until
from utils.dev.servers import Redis
from utils.files import write_file

NAME = "orders"


class SentinelServer(Redis):
    """The Sentinel; it is asked by its port, with a password of its own."""

    def __init__(self, folder: Path, master: Redis) -> None:
        super().__init__(folder)
        self.password = "a sentinel's"
        self.master = master

    def prepare(self) -> None:
        super().prepare()
        lines = [
            f"sentinel monitor {NAME} 127.0.0.1 {self.master.port} 1",
            f"sentinel auth-pass {NAME} {self.master.password}",
            f"sentinel down-after-milliseconds {NAME} 500",
            f"sentinel failover-timeout {NAME} 1000",
            "",
        ]
        file = self.folder / "redis.conf"
        left_out = ("masterauth", "save", "appendonly")
        own = [line for line in file.read_text().splitlines() if not line.startswith(left_out)]
        write_file(file, "\n".join([*own, *lines]))

    def command(self) -> list[str]:
        return [*super().command(), "--sentinel"]


def make_replica(replica: Redis, master: Redis) -> None:
    """Make a Redis the replica of another one, and wait until it has what that one has."""
    with redis.Redis(port=master.port, password=master.password) as admin:
        admin.config_set("repl-diskless-sync-delay", 0)
    with redis.Redis(port=replica.port, password=replica.password) as admin:
        admin.replicaof("127.0.0.1", master.port)
        wait_until(lambda: admin.info("replication")["master_link_status"] == "up")
