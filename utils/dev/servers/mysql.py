"""A private MySQL, where that is installed and MariaDB is not."""

from pathlib import Path

import pymysql

from utils.dev.commands import which
from utils.dev.servers.mariadb import MariaDB, own_name


class MySQL(MariaDB):
    """A MySQL with the same database and user.

    Its administrator has no password, and comes by the socket alone, whose folder is closed.
    """

    programs = ("mysqld",)
    user = "root"
    client = "mysql"
    own_options = ("--mysqlx=OFF", "--disable-log-bin")  # a port and a log that nobody uses

    def installation(self, data: Path) -> list[str]:
        program, user = which("mysqld") or "mysqld", f"--user={own_name()}"
        return [program, "--no-defaults", user, f"--datadir={data}", "--initialize-insecure"]

    def start(self) -> None:
        """Start the server and log in once: then it knows the user by a hash of the password."""
        super().start()
        user, password = "pyserver", self.password.encode()
        pymysql.connect(unix_socket=str(self.socket), user=user, password=password).close()
