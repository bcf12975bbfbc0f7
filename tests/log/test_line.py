"""The form of a log line: whole, true and readable, whatever is in it."""

import json
import logging
import os
import time
from pathlib import Path

import gunicorn.glogging
import pytest

from tests.support.logs import LINE, record
from tests.support.service import ROOT
from utils.context import request_uuid
from utils.log.line import JSONFormatter, LineFormatter, short_path

EVIL = ["a\nb", "a\r\nb", "\x1b[2J", "\x00", "\x85", "\u2028", "\u202e", "\x7f", "\ud800"]
EVIL += [
    "\x9b2J",
    "\x90",
    "\u2029",
    "\u2066",
    "\u200f",
    "\ufeff",
    "\u200b",
    "\xa0",
    "\U000e0041",
    "\t\v\f",
]


def with_traceback(error: Exception) -> logging.LogRecord:
    made = record("failed", level=logging.ERROR)
    try:
        raise error
    except Exception as raised:
        made.exc_info = (type(raised), raised, raised.__traceback__)
    return made


def test_a_line_has_time_level_pid_uuid_place_and_message() -> None:
    request_uuid.set("the-uuid")
    line = LineFormatter().format(record("%s orders", 3))
    assert LINE.fullmatch(line)
    assert line.endswith(f" INFO {os.getpid()} the-uuid /x/module.py:7 3 orders")
    assert line.startswith(time.strftime("%Y-%m-%dT%H:"))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (ROOT / "utils/mysql/pool.py", "mysql/pool.py"),
        (ROOT / "utils/context.py", "context.py"),
        (ROOT / "server.py", "server.py"),
        (ROOT / "conf/environ.py", "conf/environ.py"),
        (gunicorn.glogging.__file__, "gunicorn/glogging.py"),
        (json.decoder.__file__, "json/decoder.py"),
        ("/elsewhere/job.py", "/elsewhere/job.py"),
        ("<string>", "<string>"),
    ],
)
def test_a_source_file_is_named_by_its_room_or_its_library(path: str | Path, name: str) -> None:
    assert short_path(str(path)) == name


@pytest.mark.parametrize("evil", EVIL)
def test_what_a_client_sends_cannot_forge_a_line(evil: str) -> None:
    assert LineFormatter().format(record("%s", f"{evil}2026-01-01 INFO forged")).isprintable()


@pytest.mark.parametrize("evil", EVIL)
def test_what_an_error_says_cannot_forge_a_line(evil: str) -> None:
    error = ValueError(f"{evil}2026-01-01 INFO forged")
    first, *rest = LineFormatter().format(with_traceback(error)).splitlines()
    assert LINE.fullmatch(first)
    assert rest
    assert all(line.startswith("  | ") and line.isprintable() for line in rest)


def test_other_scripts_stay_readable() -> None:
    assert LineFormatter().format(record("订单 müßig")).endswith("订单 müßig")


@pytest.mark.parametrize("formatter", [LineFormatter(), JSONFormatter()])
def test_arguments_that_do_not_fit_the_message_do_not_cost_the_line(
    formatter: logging.Formatter,
) -> None:
    line = formatter.format(record("%d orders", "many"))
    assert "'%d orders' cannot be formatted: TypeError" in line


def test_json_has_what_the_text_has() -> None:
    request_uuid.set("the-uuid")
    entry = json.loads(JSONFormatter().format(record("%s orders", 3)))
    assert entry.pop("time").startswith(time.strftime("%Y-%m-%dT%H:"))
    assert entry == {
        "level": "INFO",
        "pid": os.getpid(),
        "uuid": "the-uuid",
        "at": "/x/module.py:7",
        "message": "3 orders",
    }


def test_the_fields_of_a_record_are_fields_in_json() -> None:
    made = record("x")
    made.fields = {"status": 200, "path": Path("/x")}
    entry = json.loads(JSONFormatter().format(made))
    assert (entry["status"], entry["path"]) == (200, "/x")


def test_json_keeps_the_traceback_in_the_line() -> None:
    line = JSONFormatter().format(with_traceback(KeyError("x")))
    assert line.isprintable()
    assert json.loads(line)["traceback"].endswith("KeyError: 'x'")


@pytest.mark.parametrize("evil", EVIL)
def test_json_is_one_printable_line_that_gives_the_text_back(evil: str) -> None:
    line = JSONFormatter().format(record("%s", evil))
    assert line.isprintable()
    assert json.loads(line)["message"] == evil
