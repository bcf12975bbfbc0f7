"""Private MySQL, MariaDB and Redis servers on free ports, for `sh run.sh dev` and the tests."""

from utils.dev.servers.local import LocalServer, free_port
from utils.dev.servers.mariadb import MariaDB
from utils.dev.servers.mysql import MySQL
from utils.dev.servers.redis import Redis

__all__ = ["LocalServer", "MariaDB", "MySQL", "Redis", "free_port"]
