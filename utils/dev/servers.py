"""Private MariaDB and Redis servers on free ports, for `sh run.sh dev` and the tests."""

import getpass
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

import pymysql
from pymysql.cursors import DictCursor

from utils.dev.commands import call, find, require, spawn


def free_port() -> int:
    """Return a port that nobody listens on, below those that the kernel gives to clients."""
    while True:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class LocalServer:
    """A server process with its data in a folder of its own."""

    programs: ClassVar[tuple[str, ...]]
    packages: ClassVar[dict[str, str]]

    def __init__(self, folder: Path) -> None:
        require(self.programs, self.packages)
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return the command that runs the server."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make the folder, once."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def env(self) -> dict[str, str]:
        """Return the settings that lead the service to this server."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the server, and return when it accepts connections."""
        self.prepare()
        with (self.folder / "server.log").open("ab") as log:
            self.process = spawn(
                self.command(),
                self.folder / "pid",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while not self.accepts():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise SystemExit(f"{self.command()[0]} did not start: see {self.folder}/server.log")
            time.sleep(0.02)

    def accepts(self) -> bool:
        """Tell whether the server takes connections."""
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def send(self, number: int) -> None:
        """Send the server a signal: SIGSTOP makes it hang, SIGCONT go on."""
        if self.process:
            self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop the server, and return when it is gone."""
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None


class MariaDB(LocalServer):
    """A private MariaDB with the database `pyserver` and a user of that name."""

    programs = ("mariadbd", "mariadb-install-db")
    packages: ClassVar[dict[str, str]] = {
        "apt": "mariadb-server",
        "dnf": "mariadb-server",
        "brew": "mariadb",
    }

    def command(self) -> list[str]:
        """Return the command that runs the server."""
        return [
            find("mariadbd") or "mariadbd",
            "--no-defaults",
            f"--user={getpass.getuser()}",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'socket'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
        ]

    def prepare(self) -> None:
        """Make the data folder, unless it is there already."""
        super().prepare()
        data = self.folder / "data"
        if data.exists():
            return
        # Made elsewhere: the script breaks at a space in the path, and both may be interrupted.
        made = self.folder / "data.new"
        shutil.rmtree(made, ignore_errors=True)
        with tempfile.TemporaryDirectory() as elsewhere:
            call(
                [
                    find("mariadb-install-db") or "mariadb-install-db",
                    "--no-defaults",
                    f"--user={getpass.getuser()}",
                    f"--datadir={elsewhere}/data",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                ]
            )
            shutil.move(f"{elsewhere}/data", made)
        made.rename(data)

    def start(self) -> None:
        """Start the server and have the database and the user."""
        super().start()
        self.run(
            "CREATE DATABASE IF NOT EXISTS pyserver CHARACTER SET utf8mb4",
            "CREATE USER IF NOT EXISTS pyserver IDENTIFIED BY 'pyserver'",
            "GRANT ALL ON pyserver.* TO pyserver",
        )

    def run(self, *statements: str) -> list[dict[str, Any]]:
        """Run statements as root, and return the last one's rows."""
        with (
            pymysql.connect(
                unix_socket=str(self.folder / "socket"), user="root", autocommit=True
            ) as connection,
            connection.cursor(DictCursor) as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def env(self) -> dict[str, str]:
        """Return the settings that lead the service to this server."""
        return {
            "MYSQL_HOST": "127.0.0.1",
            "MYSQL_PORT": str(self.port),
            "MYSQL_USER": "pyserver",
            "MYSQL_PASSWORD": "pyserver",
            "MYSQL_DATABASE": "pyserver",
        }


class Redis(LocalServer):
    """A private Redis that keeps nothing on disk."""

    programs = ("redis-server",)
    packages: ClassVar[dict[str, str]] = {"apt": "redis-server", "dnf": "redis", "brew": "redis"}

    def command(self) -> list[str]:
        """Return the command that runs the server."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
        }
        return [
            find("redis-server") or "redis-server",
            *(word for k, v in options.items() for word in (f"--{k}", v)),
        ]

    def env(self) -> dict[str, str]:
        """Return the settings that lead the service to this server."""
        return {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(self.port)}
