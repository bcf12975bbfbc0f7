"""A private Redis that keeps nothing on disk."""

import json
from shlex import quote

from utils.dev.servers.local import LocalServer


class Redis(LocalServer):
    """A Redis on a free port of 127.0.0.1."""

    programs = ("redis-server",)
    prefix = "REDIS"

    def prepare(self) -> None:
        """Write the configuration to a file: all users of the machine can read a command line."""
        super().prepare()
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "unixsocket": str(self.socket),
            "requirepass": self.password,
            "masterauth": self.password,  # to be a replica of another one
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
        }
        lines = [f"{name} {json.dumps(options[name], ensure_ascii=False)}\n" for name in options]
        (self.folder / "redis.conf").write_text("".join(lines))

    def command(self) -> list[str]:
        return ["redis-server", str(self.folder / "redis.conf")]

    def login(self) -> str:
        return f"REDISCLI_AUTH={quote(self.password)} redis-cli -p {self.port}"
