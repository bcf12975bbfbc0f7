"""Migrations: each is applied once, in order, also when many try, fail or die."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schema import Schema
from tests.support.service import Service, wait_until
from utils.dev.servers import free_port
from utils.mysql import schema as files

CREATE_A = "CREATE TABLE a (i INT)"


def test_the_verb_applies_what_is_pending_and_shows_it(
    service: Service, service_schema: Schema
) -> None:
    schema = service_schema
    schema.write("0002_fill_a.sql", "-- 50%\nINSERT INTO a VALUES (1); INSERT INTO a VALUES (2);\n")
    schema.write("0001_create_a.sql", f"{CREATE_A};\n")
    assert service.sh("migrate", "status", check=True).stdout == (
        "pending 0001_create_a.sql\npending 0002_fill_a.sql\n"
    )
    assert schema.tables() == set()
    done = service.sh("migrate", check=True)
    assert done.stdout == "applied 0001_create_a.sql\napplied 0002_fill_a.sql\n"
    assert schema.count("a") == 2


def test_the_status_shows_what_is_applied_and_what_is_not(schema: Schema) -> None:
    schema.write("0001_create_a.sql", CREATE_A)
    assert schema.migrate()[:2] == (0, "applied 0001_create_a.sql\n")
    schema.write("0002_create_b.sql", "CREATE TABLE b (i INT)")
    _, out, _ = schema.migrate("status")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC 0001_create_a.sql\npending 0002_create_b.sql\n", out
    )
    assert schema.migrate()[:2] == (0, "applied 0002_create_b.sql\n")
    assert schema.migrate()[:2] == (0, "the schema is up to date\n")


def test_many_at_once_apply_each_once(schema: Schema) -> None:
    schema.env.update(MYSQL_READ_TIMEOUT="0.2")
    schema.write("0001_create_a.sql", f"{CREATE_A}; DO SLEEP(0.7)")
    schema.write("0002_fill_a.sql", "INSERT INTO a VALUES (1)")
    calls = [schema.start() for _ in range(4)]
    printed = [call.communicate(timeout=300) for call in calls]
    assert [call.returncode for call in calls] == [0] * 4, printed
    assert sorted(out for out, _ in printed) == [
        "applied 0001_create_a.sql\napplied 0002_fill_a.sql\n",
        *["the schema is up to date\n"] * 3,
    ]
    assert schema.count("a") == 1


def test_what_was_applied_has_to_stay_as_it_is(schema: Schema) -> None:
    schema.write("0001_create_a.sql", CREATE_A)
    schema.migrate()
    schema.write("0001_create_a.sql", "CREATE TABLE a (i BIGINT)")
    schema.write("0002_create_b.sql", "CREATE TABLE b (i INT)")
    changed = "0001_create_a.sql has changed since it was applied: "
    assert schema.refusal().startswith(changed)
    assert schema.migrate("status")[2].startswith(f"migrate: {changed}")
    (schema.folder / "0001_create_a.sql").unlink()
    assert schema.refusal().startswith("0001_create_a.sql is applied and missing from ")


def test_what_stands_in_the_table_commands_no_terminal(schema: Schema) -> None:
    schema.write("0001_create_a.sql", CREATE_A)
    schema.migrate()
    schema.run("INSERT INTO migrations VALUES (2, '0002_\x1b[2J\x9b\u202e\n', '', NOW())")
    for call in (schema.migrate("status"), schema.migrate()):
        printed = "".join(map(str, call)).replace("\n", "")
        assert "0002_\\x1b[2J" in printed
        assert printed.isprintable()


def test_the_ends_of_lines_are_no_change(schema: Schema) -> None:
    schema.write("0001_create_a.sql", "CREATE TABLE a\n(i INT);\n-- end\n")
    schema.migrate()
    schema.write("0001_create_a.sql", b"\xef\xbb\xbfCREATE TABLE a\r\n(i INT);\r\n-- end\r\n")
    assert schema.migrate()[:2] == (0, "the schema is up to date\n")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("0001_b.sql", b"", "0001_a.sql and 0001_b.sql have the same number"),
        ("2_b.sql", b"", "2_b.sql: expected a name like 0001_create_orders.sql"),
        ("0002-b.SQL", b"", "0002-b.SQL: expected a name like 0001_create_orders.sql"),
        ("0002_b.sql", b"SELECT 1;\n\xff", "0002_b.sql, line 2: not UTF-8"),
        ("0002_b.sql", "SELECT 1".encode("utf-16"), "0002_b.sql, line 1: not UTF-8"),
        ("0002_b.sql", None, "0002_b.sql: Is a directory"),
    ],
)
def test_an_unusable_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: bytes | None, reason: str
) -> None:
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    (tmp_path / ".0001_a.sql").write_text("what an editor leaves")
    assert files.known() == {"0001_a.sql": "SELECT 1"}
    if text is None:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(text)
    with pytest.raises(files.MigrationError, match=f"^{re.escape(reason)}"):
        files.known()


def test_one_that_is_killed_does_not_lock_out_the_next(schema: Schema) -> None:
    lock = f"migrations of {schema.database}"[:64]
    schema.write("0001_create_a.sql", "DO SLEEP(0.6)")
    process = schema.start()
    wait_until(lambda: schema.run(f"SELECT IS_USED_LOCK('{lock}') AS id")[0]["id"])
    process.kill()
    process.communicate()
    assert schema.migrate()[:2] == (0, "applied 0001_create_a.sql\n")


@pytest.fixture
def another(schema: Schema) -> Iterator[None]:
    """Another `migrate` that is still at work."""
    with schema.connect() as connection:
        connection.cursor().execute(f"SELECT GET_LOCK('migrations of {schema.database}', 0)")
        yield


def test_the_wait_for_another_one_is_bounded(schema: Schema, another: None) -> None:
    assert schema.refusal("--wait", "0.2") == "another migrate is still at work after 0.2 s"


def test_the_wait_for_another_one_can_be_interrupted(schema: Schema, another: None) -> None:
    process = schema.start()
    waiting = "SELECT 1 FROM information_schema.processlist WHERE state = 'User lock'"
    wait_until(lambda: schema.run(waiting))
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=300) == ("", "migrate: interrupted\n")


def warning(schema: Schema) -> str:
    """Return what a worker would log."""
    script = "from utils.mysql import warn_if_behind; warn_if_behind()"
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, cwd=schema.root, env=schema.env, capture_output=True, text=True, check=True
    ).stderr


def test_a_service_on_another_schema_says_so(schema: Schema) -> None:
    schema.write("0001_create_a.sql", CREATE_A)
    schema.write("0002_create_b.sql", "CREATE TABLE b (i INT)")
    behind = "the schema is behind: run sh run.sh migrate; pending: "
    assert warning(schema) == f"{behind}0001_create_a.sql, 0002_create_b.sql\n"
    schema.migrate()
    assert warning(schema) == ""
    (schema.folder / "0002_create_b.sql").unlink()
    assert warning(schema) == "the schema is ahead of this code, which lacks 0002_create_b.sql\n"


def test_a_service_without_mysql_cannot_find_out(schema: Schema) -> None:
    schema.env["MYSQL_PORT"] = str(free_port())
    assert warning(schema).splitlines()[-1] == (
        "cannot find out whether the schema is behind: MySQL is not available"
    )
    schema.env["MYSQL_HOST"] = ""
    assert warning(schema) == ""


def test_a_worker_says_so_when_it_starts(service: Service, service_schema: Schema) -> None:
    service_schema.write("0001_create_a.sql", CREATE_A)
    service.sh("start", check=True)
    wait_until(lambda: "WARNING" in service.log())
    assert "the schema is behind" in service.log()
