"""A copy of the project whose migrations a test writes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pymysql

from tests.support.service import ROOT
from utils.dev.servers import MariaDB, MySQL

MIGRATE = [sys.executable, "-m", "utils.mysql.migrations"]


def copy_code(target: Path) -> Path:
    """Copy as much of the project as `migrate` needs."""
    for name in ("conf", "utils"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    return target


class Schema:
    """A database of its own, and a copy of the project whose migrations make its schema."""

    def __init__(self, root: Path, env: dict[str, str], mariadb: MariaDB, database: str) -> None:
        self.root, self.mariadb, self.database = root, mariadb, database
        self.folder = root / "conf/migrations"
        self.env = env
        self.env.update(mariadb.env(), MYSQL_HOST="127.0.0.1", MYSQL_DATABASE=database)
        for path in self.folder.iterdir():
            path.unlink()
        mariadb.run(
            f"CREATE DATABASE {database} CHARACTER SET utf8mb4",
            f"GRANT ALL ON {database}.* TO pyserver",
        )

    def connect(self) -> "pymysql.connections.Connection":
        """Return a connection of somebody else's to the database."""
        return pymysql.connect(
            host=self.env["MYSQL_HOST"],
            port=int(self.env["MYSQL_PORT"]),
            user=self.env["MYSQL_USER"],
            password=self.env["MYSQL_PASSWORD"],
            database=self.database,
        )

    def write(self, name: str, sql: str | bytes) -> None:
        """Write a migration."""
        (self.folder / name).write_bytes(sql.encode() if isinstance(sql, str) else sql)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start `migrate` without waiting for it."""
        return subprocess.Popen(
            [*MIGRATE, *arguments],
            cwd=self.root,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def migrate(self, *arguments: str) -> tuple[int, str, str]:
        """Run `migrate`, and return its exit status, output and errors."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def refusal(self, *arguments: str) -> str:
        """Run `migrate`, which has to fail in one line; return that."""
        code, out, err = self.migrate(*arguments)
        assert (code, out, err.count("\n")) == (1, "", 1), (code, out, err)
        return err.removeprefix("migrate: ").removesuffix("\n")

    def run(self, sql: str) -> list[dict[str, object]]:
        """Run a statement as root in the database, and return its rows."""
        return self.mariadb.run(f"USE {self.database}", sql)

    def tables(self) -> set[object]:
        """Return the names of the tables and views."""
        return {next(iter(row.values())) for row in self.run("SHOW TABLES")}

    def count(self, table: str) -> object:
        """Return how many rows a table has."""
        return self.run(f"SELECT COUNT(*) AS n FROM {table}")[0]["n"]

    def applied(self) -> list[object]:
        """Return the names of the migrations that are recorded."""
        return [row["name"] for row in self.run("SELECT name FROM migrations ORDER BY number")]

    def dump(self, database: str, *options: str) -> bytes:
        """Return what mariadb-dump makes of a database."""
        program = "mariadb-dump"
        if isinstance(self.mariadb, MySQL):  # a user of one database must not set the GTIDs of all
            program, options = "mysqldump", ("--set-gtid-purged=OFF", *options)
        login = [f"--socket={self.mariadb.socket}", f"--user={self.mariadb.user}", "-hlocalhost"]
        command = [program, "--no-defaults", *login, *options, database]
        return subprocess.run(command, capture_output=True, check=True).stdout
