"""A private Redis that keeps nothing on disk."""

import json
from shlex import quote

from utils.dev.servers.local import LocalServer
from utils.files import write_file


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
        write_file(self.folder / "redis.conf", "".join(lines))
        write_file(self.folder / "password", self.password)

    def command(self) -> list[str]:
        return ["redis-server", str(self.folder / "redis.conf")]

    def login(self) -> str:
        # The password may be one of the user's own, and a terminal's lines are kept.
        password = quote(str(self.folder / "password"))
        return f'REDISCLI_AUTH="$(cat {password})" redis-cli -s {quote(str(self.socket))}'
