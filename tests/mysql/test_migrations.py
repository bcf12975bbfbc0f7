"""Migrations: each is applied once, in order, also when many try, fail or die."""

import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pymysql
import pytest

from tests.support.service import Service, wait_until
from utils.dev.servers import MariaDB, free_port
from utils.mysql import migrations

MIGRATE = [sys.executable, "-m", "utils.mysql.migrations"]


@pytest.fixture
def schema(service: Service, mariadb: MariaDB) -> Service:
    """A copy of the project with a database of its own and no migrations."""
    name = f"schema_{uuid4().hex}"
    mariadb.run(f"CREATE DATABASE {name}", f"GRANT ALL ON {name}.* TO pyserver")
    service.env.update(mariadb.env(), MYSQL_DATABASE=name)
    for path in (service.root / "conf/migrations").iterdir():
        path.unlink()
    return service


def write(schema: Service, name: str, sql: str) -> None:
    (schema.root / "conf/migrations" / name).write_text(sql)


def popen(schema: Service, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*MIGRATE, *arguments],
        cwd=schema.root,
        env=schema.env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def migrate(schema: Service, *arguments: str) -> tuple[int, str, str]:
    process = popen(schema, *arguments)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def tables(schema: Service, mariadb: MariaDB) -> set[str]:
    rows = mariadb.run(f"SHOW TABLES FROM {schema.env['MYSQL_DATABASE']}")
    return {next(iter(row.values())) for row in rows}


def count(schema: Service, mariadb: MariaDB, table: str) -> int:
    rows = mariadb.run(f"SELECT COUNT(*) AS n FROM {schema.env['MYSQL_DATABASE']}.{table}")
    return int(rows[0]["n"])


def test_the_verb_applies_what_is_pending_and_shows_it(schema: Service, mariadb: MariaDB) -> None:
    write(
        schema, "0002_fill_a.sql", "-- 50%\nINSERT INTO a VALUES (1); INSERT INTO a VALUES (2);\n"
    )
    write(schema, "0001_create_a.sql", "CREATE TABLE a (i INT);\n")
    assert schema.sh("migrate", "status", check=True).stdout == (
        "pending 0001_create_a.sql\npending 0002_fill_a.sql\n"
    )
    assert tables(schema, mariadb) == set()
    done = schema.sh("migrate", check=True)
    assert done.stdout == "applied 0001_create_a.sql\napplied 0002_fill_a.sql\n"
    assert count(schema, mariadb, "a") == 2
    write(schema, "0003_create_b.sql", "CREATE TABLE b (i INT)")
    shown = [line.rsplit(" ", 1) for line in migrate(schema, "status")[1].splitlines()]
    assert [name for _, name in shown] == [
        "0001_create_a.sql",
        "0002_fill_a.sql",
        "0003_create_b.sql",
    ]
    assert [when.endswith(" UTC") for when, _ in shown] == [True, True, False]
    assert migrate(schema)[:2] == (0, "applied 0003_create_b.sql\n")
    assert migrate(schema)[:2] == (0, "the schema is up to date\n")


def test_many_at_once_apply_each_once(schema: Service, mariadb: MariaDB) -> None:
    schema.env.update(MYSQL_READ_TIMEOUT="0.2", MYSQL_CONNECT_TIMEOUT="0.5")
    write(schema, "0001_create_a.sql", "CREATE TABLE a (i INT); DO SLEEP(0.7)")
    write(schema, "0002_fill_a.sql", "INSERT INTO a VALUES (1)")
    calls = [popen(schema) for _ in range(4)]
    printed = [call.communicate(timeout=30) for call in calls]
    assert [call.returncode for call in calls] == [0] * 4, printed
    assert sorted(out for out, _ in printed) == [
        "applied 0001_create_a.sql\napplied 0002_fill_a.sql\n",
        *["the schema is up to date\n"] * 3,
    ]
    assert count(schema, mariadb, "a") == 1


def test_a_failure_stops_there_and_the_rest_waits_for_it(schema: Service, mariadb: MariaDB) -> None:
    write(schema, "0001_create_a.sql", "CREATE TABLE a (i INT)")
    write(schema, "0002_fill_a.sql", "INSERT INTO a VALUES (1); INSERT INTO a VALUES ('x')")
    write(schema, "0003_create_b.sql", "CREATE TABLE b (i INT)")
    code, out, err = migrate(schema)
    assert (code, out) == (1, "applied 0001_create_a.sql\n")
    assert err.startswith("migrate: 0002_fill_a.sql, statement 2: (1366, ")
    assert len(err.splitlines()) == 1
    assert count(schema, mariadb, "a") == 0
    assert tables(schema, mariadb) == {"a", "migrations"}
    write(schema, "0002_fill_a.sql", "INSERT INTO a VALUES (1)")
    assert migrate(schema)[:2] == (0, "applied 0002_fill_a.sql\napplied 0003_create_b.sql\n")


def refusal(schema: Service) -> str:
    code, out, err = migrate(schema)
    assert (code, out, err.count("\n")) == (1, "", 1)
    return err


def test_what_was_applied_has_to_stay_as_it_is(schema: Service) -> None:
    write(schema, "0001_create_a.sql", "CREATE TABLE a (i INT)")
    migrate(schema)
    write(schema, "0001_create_a.sql", "CREATE TABLE a (i BIGINT)")
    write(schema, "0002_create_b.sql", "CREATE TABLE b (i INT)")
    changed = "migrate: 0001_create_a.sql has changed since it was applied: "
    assert refusal(schema).startswith(changed)
    assert migrate(schema, "status")[2].startswith(changed)
    (schema.root / "conf/migrations/0001_create_a.sql").unlink()
    assert refusal(schema).startswith("migrate: 0001_create_a.sql is applied and missing from ")


def test_without_mysql_it_fails_in_a_line(schema: Service) -> None:
    schema.env["MYSQL_PORT"] = str(free_port())
    assert refusal(schema).startswith("migrate: (2003, ")
    schema.env["MYSQL_HOST"] = ""
    assert refusal(schema) == "migrate: MySQL is not configured\n"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("0001_b.sql", b"", "0001_a.sql and 0001_b.sql have the same number"),
        ("2_b.sql", b"", "2_b.sql: expected a name like 0001_create_orders.sql"),
        ("0002-b.SQL", b"", "0002-b.SQL: expected a name like 0001_create_orders.sql"),
        ("0002_b.sql", b"\xff", "0002_b.sql: 'utf-8' codec can't decode"),
    ],
)
def test_an_unusable_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: bytes, reason: str
) -> None:
    monkeypatch.setattr(migrations, "FOLDER", tmp_path)
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    (tmp_path / ".0001_a.sql").write_text("what an editor leaves")
    assert migrations.known() == {"0001_a.sql": "SELECT 1"}
    (tmp_path / name).write_bytes(text)
    with pytest.raises(migrations.MigrationError, match=f"^{re.escape(reason)}"):
        migrations.known()


def test_the_ends_of_lines_are_no_change(schema: Service) -> None:
    write(schema, "0001_create_a.sql", "CREATE TABLE a\n(i INT)\n")
    migrate(schema)
    text = b"\xef\xbb\xbfCREATE TABLE a\r\n(i INT)\r\n"
    (schema.root / "conf/migrations/0001_create_a.sql").write_bytes(text)
    assert migrate(schema)[0] == 0


def test_one_that_is_killed_does_not_lock_out_the_next(schema: Service, mariadb: MariaDB) -> None:
    lock = f"migrations of {schema.env['MYSQL_DATABASE']}"[:64]
    write(schema, "0001_create_a.sql", "DO SLEEP(0.6)")
    process = popen(schema)
    wait_until(lambda: mariadb.run(f"SELECT IS_USED_LOCK('{lock}') AS id")[0]["id"])
    process.kill()
    process.communicate()
    assert migrate(schema)[:2] == (0, "applied 0001_create_a.sql\n")


def test_the_wait_for_another_one_is_bounded(schema: Service, mariadb: MariaDB) -> None:
    lock = f"migrations of {schema.env['MYSQL_DATABASE']}"[:64]
    other = pymysql.connect(
        host="127.0.0.1", port=mariadb.port, user="pyserver", password="pyserver"
    )
    with other, other.cursor() as cursor:
        cursor.execute(f"SELECT GET_LOCK('{lock}', 0)")
        code, _, err = migrate(schema, "--wait", "0.2")
    assert (code, err) == (1, "migrate: another migrate is still at work after 0.2 s\n")


def warning(schema: Service) -> str:
    """Return what a worker would log."""
    script = "from utils.mysql.migrations import warn_if_behind; warn_if_behind()"
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, cwd=schema.root, env=schema.env, capture_output=True, text=True, check=True
    ).stderr


def test_a_service_on_another_schema_says_so(schema: Service) -> None:
    write(schema, "0001_create_a.sql", "CREATE TABLE a (i INT)")
    write(schema, "0002_create_b.sql", "CREATE TABLE b (i INT)")
    behind = "the schema is behind: run sh run.sh migrate; pending: "
    assert warning(schema) == f"{behind}0001_create_a.sql, 0002_create_b.sql\n"
    migrate(schema)
    assert warning(schema) == ""
    (schema.root / "conf/migrations/0002_create_b.sql").unlink()
    assert warning(schema) == "the schema is ahead of this code, which lacks 0002_create_b.sql\n"
    schema.env["MYSQL_PORT"] = str(free_port())
    assert warning(schema).splitlines()[-1] == (
        "cannot tell whether the schema is behind: MySQL is not available"
    )
    schema.env["MYSQL_HOST"] = ""
    assert warning(schema) == ""


def test_a_worker_says_so_at_its_boot(schema: Service) -> None:
    write(schema, "0001_create_a.sql", "CREATE TABLE a (i INT)")
    schema.sh("start", check=True)
    wait_until(lambda: "WARNING" in schema.log() and "the schema is behind" in schema.log())
