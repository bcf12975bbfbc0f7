"""A private Redis that keeps nothing on disk."""

from utils.dev.servers.local import LocalServer


class Redis(LocalServer):
    """A Redis on a free port of 127.0.0.1."""

    programs = ("redis-server",)

    def command(self) -> list[str]:
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "unixsocket": str(self.socket),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
        }
        return ["redis-server", *(word for k, v in options.items() for word in (f"--{k}", v))]

    def login(self) -> str:
        return f"redis-cli -p {self.port}"

    def env(self) -> dict[str, str]:
        return {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(self.port)}
