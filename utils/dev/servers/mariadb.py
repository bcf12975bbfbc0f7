"""A private MariaDB, whose data stays in its folder."""

import os
import pwd
import shutil
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

import pymysql
from pymysql.converters import escape_string
from pymysql.cursors import DictCursor

from utils.dev.commands import run, which
from utils.dev.servers.local import LocalServer


def own_name() -> str:
    """Return the name of the user that we run as; $USER may be another one."""
    return pwd.getpwuid(os.geteuid()).pw_name


class MariaDB(LocalServer):
    """A MariaDB on a free port of 127.0.0.1, with a database `pyserver` and a user for it."""

    programs: ClassVar[tuple[str, ...]] = ("mariadbd", "mariadb-install-db")
    prefix = "MYSQL"
    client = "mariadb"
    own_options: tuple[str, ...] = ()

    @property
    def user(self) -> str:
        """MariaDB's administrator."""
        return own_name()

    def command(self) -> list[str]:
        return [
            self.programs[0],
            "--no-defaults",
            f"--user={own_name()}",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.socket}",
            # A MariaDB that starts removes all temporary tables of its folder, another one's too.
            f"--tmpdir={self.folder}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            f"--secure-file-priv={self.folder}",  # no statement reads or writes files elsewhere
            *self.own_options,
        ]

    def installation(self, data: Path) -> list[str]:
        return [
            which("mariadb-install-db") or "mariadb-install-db",
            "--no-defaults",
            f"--user={own_name()}",
            f"--datadir=./{data.name}",  # the script breaks at a space in the path
            "--auth-root-authentication-method=socket",
            f"--auth-root-socket-user={self.user}",
            "--skip-test-db",
            "--force",  # also if this machine's name cannot be looked up
        ]

    def prepare(self) -> None:
        """Make the data folder, unless it is there already."""
        super().prepare()
        data, made = self.folder / "data", self.folder / "data.new"
        if data.exists():
            return
        shutil.rmtree(made, ignore_errors=True)  # of a call that was interrupted
        # TMPDIR: as above
        run(self.installation(made), cwd=self.folder, env={**os.environ, "TMPDIR": "."})
        made.rename(data)

    def start(self) -> None:
        """Start the server and ensure that the database and its user exist."""
        super().start()
        self.run(
            "CREATE DATABASE IF NOT EXISTS pyserver CHARACTER SET utf8mb4",
            "CREATE USER IF NOT EXISTS pyserver",
            f"ALTER USER pyserver IDENTIFIED BY '{escape_string(self.password)}'",
            "GRANT ALL ON pyserver.* TO pyserver",
        )

    def run(self, *statements: str) -> list[dict[str, Any]]:
        """Run statements as the administrator, and return the last one's rows."""
        connection = pymysql.connect(
            unix_socket=str(self.socket), user=self.user, autocommit=True, cursorclass=DictCursor
        )
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def login(self) -> str:
        return f"{self.client} --socket={quote(str(self.socket))} --user={self.user} pyserver"

    def env(self) -> dict[str, str]:
        return {**super().env(), "MYSQL_USER": "pyserver", "MYSQL_DATABASE": "pyserver"}
