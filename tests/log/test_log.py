"""Logs: lines that are whole, true and kept, whoever writes them and whatever is in them."""

import json
import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import gevent
import pytest

from tests.support.service import Service
from utils.context import request_uuid
from utils.log.files import DailyFileHandler, JSONFormatter, LineFormatter

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} "
    r"(DEBUG|INFO|WARNING|ERROR) \d+ \S+ [\w<>]+:\d+ .*"
)


def record(message: str, *args: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("test", level, "/x/module.py", 7, message, args, None)


def test_a_line_has_time_level_pid_uuid_place_and_message() -> None:
    request_uuid.set("the-uuid")
    line = LineFormatter().format(record("%s orders", 3))
    assert LINE.fullmatch(line)
    assert line.endswith(f" INFO {os.getpid()} the-uuid module:7 3 orders")
    assert line.startswith(time.strftime("%Y-%m-%dT%H:"))


@pytest.mark.parametrize(
    "evil", ["a\nb", "a\r\nb", "\x1b[2J", "\x00", "\x85", "\u2028", "\u202e", "\x7f", "\ud800"]
)
def test_what_a_client_sends_cannot_forge_a_line(evil: str) -> None:
    line = LineFormatter().format(record("%s", f"{evil}2026-01-01 INFO forged"))
    assert line.isprintable()
    try:
        raise ValueError(f"{evil}2026-01-01 INFO forged")
    except ValueError as error:
        broken = record("failed")
        broken.exc_info = (ValueError, error, error.__traceback__)
    first, *rest = LineFormatter().format(broken).splitlines()
    assert LINE.fullmatch(first)
    assert rest
    assert all(line.startswith("  | ") and line.isprintable() for line in rest)


def test_other_scripts_stay_readable() -> None:
    assert LineFormatter().format(record("订单 müßig")).endswith("订单 müßig")


def test_json_is_one_object_a_line() -> None:
    request_uuid.set("the-uuid")
    made = record("a\nb %s", "\ud800", level=logging.ERROR)
    made.fields = {"status": 200}
    try:
        raise KeyError("x")
    except KeyError as error:
        made.exc_info = (KeyError, error, error.__traceback__)
    line = JSONFormatter().format(made)
    assert "\n" not in line
    entry = json.loads(line)
    assert (entry["level"], entry["uuid"], entry["at"]) == ("ERROR", "the-uuid", "module:7")
    assert (entry["pid"], entry["status"]) == (os.getpid(), 200)
    assert entry["message"].startswith("a\nb ")
    assert "KeyError" in entry["traceback"]


def test_a_greenlet_logs_under_the_uuid_of_the_request_that_spawned_it() -> None:
    request_uuid.set("first")
    inner = gevent.spawn(lambda: (gevent.sleep(0.01), gevent.spawn(request_uuid.get).get()))
    request_uuid.set("second")
    assert inner.get()[1] == "first"
    assert gevent.spawn(request_uuid.get).get() == "second"


def test_old_files_are_removed_and_others_are_not(tmp_path: Path) -> None:
    old, young, other = (tmp_path / name for name in ("service-1.log", "service-2.log", "x-1.log"))
    for path, days in ((old, 8), (young, 6), (other, 8)):
        path.touch()
        os.utime(path, (time.time() - days * 86400,) * 2)
    handler = DailyFileHandler(tmp_path, "service", keep_days=7)
    handler.emit(record("x"))
    handler.close()
    assert not old.exists()
    assert young.exists()
    assert other.exists()


def test_a_deleted_log_is_begun_anew(tmp_path: Path) -> None:
    handler = DailyFileHandler(tmp_path / "logs", "service", keep_days=7)
    first, second = record("one"), record("two")
    second.created = first.created + 1.5
    handler.emit(first)
    next((tmp_path / "logs").iterdir()).unlink()
    handler.emit(second)
    handler.close()
    assert next((tmp_path / "logs").iterdir()).read_text() == "two\n"


def test_a_log_that_cannot_be_written_does_not_fail_the_caller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    handler = DailyFileHandler(tmp_path / "file", "service", keep_days=7)
    handler.emit(record("x"))
    assert "Error" in capsys.readouterr().err


WRITER = """
import logging, sys, time
from pathlib import Path
from utils.log.files import DailyFileHandler, LineFormatter
handler = DailyFileHandler(Path(sys.argv[1]), "service", 7, period="%Y-%m-%d-%H%M%S")
handler.setFormatter(LineFormatter())
logging.basicConfig(level="INFO", handlers=[handler])
for number in range(5000):
    logging.info("%s %s %s", sys.argv[2], number, "x" * (number % 500))
    time.sleep(0.0004)
"""


def test_four_processes_lose_and_tear_no_line_over_rotations(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(number)])
        for number in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    files = sorted(tmp_path.iterdir())
    assert 3 <= len(files) < 60
    lines = [line for path in files for line in path.read_text().splitlines()]
    seen = set()
    for line in lines:
        assert LINE.fullmatch(line)
        writer, number, *filler = line.split()[5:]
        assert "".join(filler) == "x" * (int(number) % 500)
        seen.add((writer, number))
    assert len(lines) == len(seen) == 20_000


def test_the_service_logs_its_requests_and_puts_errors_in_a_log_of_their_own(
    service: Service,
) -> None:
    service.edit("api.py", "        return TestResult", "        1 / 0\n        return TestResult")
    service.sh("start", check=True)
    status, envelope, _ = service.request()
    assert status == 500
    service.request("/a%0a%1b[2J", X_Request_ID="find-me")
    service.sh("reload", check=True)
    service.request("/after")
    service.sh("stop", check=True)
    lines = service.log().splitlines()
    assert all(LINE.fullmatch(line) or line.startswith("  | ") for line in lines)
    assert sum(envelope["uuid"] in line and "POST /test 500 -1" in line for line in lines) == 1
    assert sum("find-me" in line and "POST /a\\n\\x1b[2J 404 404" in line for line in lines) == 1
    assert sum("POST /after 404" in line for line in lines) == 1
    errors = service.log("error").splitlines()
    assert f" ERROR {envelope['uuid']} " not in errors[0]
    assert all(" ERROR " in line or line.startswith("  | ") for line in errors)
    assert any("ZeroDivisionError" in line for line in errors)
    assert len(list((service.folder / "logs").iterdir())) == 3


def test_the_service_logs_json(service: Service) -> None:
    service.env["LOG_FORMAT"] = "json"
    service.sh("start", check=True)
    service.request()
    service.sh("stop", check=True)
    entries = [json.loads(line) for line in service.log().splitlines()]
    (entry,) = [entry for entry in entries if entry.get("route") == "/test"]
    assert (entry["method"], entry["status"], entry["err_code"]) == ("POST", 200, 0)
    assert 0 < entry["ms"] < 1000
