"""A Redis that is there and refuses something."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from tests.support.service import wait_until
from utils.dev.servers import Redis

# By what it refuses: the command that makes it do so, and the one that ends it.
REFUSALS = {
    **{
        name: (f"ACL SETUSER default -{name}", f"ACL SETUSER default +{name}")
        for name in ("eval", "unlink", "set", "getrange", "type", "pttl", "pexpire")
    },
    "the keys": ("ACL SETUSER default resetkeys ~other:*", "ACL SETUSER default allkeys"),
    "writes, READONLY": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    "writes, MISCONF": ("CONFIG SET save '3600 1'", "CONFIG SET save ''"),
    "writes, NOREPLICAS": (
        "CONFIG SET min-replicas-to-write 1",
        "CONFIG SET min-replicas-to-write 0",
    ),
    "writes, paused": ("CLIENT PAUSE 60000 WRITE", "CLIENT UNPAUSE"),
    "more memory": ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
}


@contextmanager
def refusing(server: Redis, what: str) -> Iterator[None]:
    """Let a Redis refuse something inside the block."""
    begin, end = REFUSALS[what]
    with redis.Redis(port=server.port, password=server.password) as admin:
        if "MISCONF" in what:
            fail_to_save(admin, server)
        admin.execute_command(*shlex.split(begin))
        try:
            yield
        finally:
            admin.execute_command(*shlex.split(end))


def fail_to_save(admin: redis.Redis, server: Redis) -> None:
    """Let Redis fail to write its file, over which is a folder."""

    def failed() -> bool:
        info = admin.info("persistence")
        return info["rdb_last_bgsave_status"] == "err" and not info["rdb_bgsave_in_progress"]

    (server.folder / "dump.rdb").mkdir(exist_ok=True)
    admin.bgsave()
    wait_until(failed)
