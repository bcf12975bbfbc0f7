"""Private MariaDB and Redis servers on free ports, for `sh run.sh dev` and the tests."""

from utils.dev.servers.local import LocalServer, free_port
from utils.dev.servers.mariadb import MariaDB
from utils.dev.servers.redis import Redis

__all__ = ["LocalServer", "MariaDB", "Redis", "free_port"]
