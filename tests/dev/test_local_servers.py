"""The private servers are closed to the other users of the machine."""

import os
import socket
from pathlib import Path

import pymysql
import pytest

from tests.support.processes import processes_in
from utils.dev.servers import LocalServer, MariaDB, Redis


@pytest.fixture(params=["mariadb", "redis_server"])
def server(request: pytest.FixtureRequest) -> LocalServer:
    found: LocalServer = request.getfixturevalue(request.param)
    return found


def test_only_its_user_enters_the_folder(server: LocalServer) -> None:
    assert server.folder.stat().st_mode & 0o777 == 0o700


def test_the_password_is_random_and_on_no_command_line(server: LocalServer) -> None:
    assert len(server.password) > 20
    # Redis replaces its own command line, but only once it runs.
    commands = [*processes_in(server.folder).values(), " ".join(server.command())]
    assert any(server.programs[0] in command for command in commands)
    assert not any(server.password in command for command in commands)


def test_a_service_reaches_it_where_nobody_else_can_listen(server: LocalServer) -> None:
    assert Path(server.env()[f"{server.prefix}_HOST"]).is_socket()
    assert str(server.socket) in server.login()


def test_only_the_loopback_interface_is_listened_on(server: LocalServer) -> None:
    port = f":{server.port:04X} "
    rows = [line for line in Path("/proc/net/tcp").read_text().splitlines() if port in line[:24]]
    assert [row.split()[1] for row in rows if " 0A " in row] == [f"0100007F{port[:-1]}"]


@pytest.mark.parametrize("user", ["root", "pyserver", "mysql", "mariadb.sys", "nobody", ""])
@pytest.mark.parametrize("password", ["", "pyserver"])
def test_nobody_logs_into_mariadb_without_the_password(
    mariadb: MariaDB, user: str, password: str
) -> None:
    with pytest.raises(pymysql.err.OperationalError) as raised:
        pymysql.connect(host="127.0.0.1", port=mariadb.port, user=user, password=password)
    assert raised.value.args[0] in (1045, 1698, 4151)  # all of them: access denied


def test_mariadb_has_no_account_without_a_name(mariadb: MariaDB) -> None:
    assert mariadb.run("SELECT host FROM mysql.user WHERE user = ''") == []


def test_the_administrator_writes_no_file_outside_of_the_folder(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    with pytest.raises(pymysql.err.OperationalError, match="--secure-file-priv"):
        mariadb.run(f"SELECT 'import os' INTO OUTFILE '{tmp_path}/dotenv.py'")


@pytest.mark.parametrize("command", ["CONFIG GET dir", "SHUTDOWN NOSAVE", "KEYS *", "PING"])
def test_redis_does_nothing_without_the_password(redis_server: Redis, command: str) -> None:
    with socket.create_connection(("127.0.0.1", redis_server.port)) as stranger:
        stranger.sendall(f"{command}\r\n".encode())
        assert stranger.recv(100).startswith(b"-NOAUTH ")


@pytest.mark.parametrize("cls", [MariaDB, Redis])
def test_a_stranger_on_the_port_is_not_taken_for_the_server(
    cls: type[LocalServer], tmp_path: Path
) -> None:
    server = cls(tmp_path / "folder")
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", server.port))
        stranger.listen()
        with pytest.raises(SystemExit, match=f"(?s){cls.programs[0]} did not start.*in use"):
            server.start()


def test_a_password_that_is_set_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "MYSQL_PASSWORD", "it's")
    assert MariaDB(tmp_path).env()["MYSQL_PASSWORD"] == "it's"
