"""The logs of a running service: in files, in JSON, or on stdout."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.logs import LINE
from tests.support.service import Service, wait_until


def is_whole(lines: list[str]) -> bool:
    return all(LINE.fullmatch(line) or line.startswith("  | ") for line in lines)


def test_every_request_has_a_line_also_over_a_reload(service: Service) -> None:
    service.sh("start", check=True)
    service.request("/a%0a%1b[2J", X_Request_ID="find-me")
    service.sh("reload", check=True)
    service.request("/after")
    service.sh("stop", check=True)
    lines = service.log().splitlines()
    assert is_whole(lines)
    assert sum("find-me" in line and "POST /a%0A%1B%5B2J 404 404" in line for line in lines) == 1
    assert sum("POST /after 404" in line for line in lines) == 1


def test_errors_are_also_in_a_log_of_their_own(service: Service) -> None:
    service.edit("api.py", "        return TestResult", "        1 / 0\n        return TestResult")
    service.sh("start", check=True)
    status, envelope, _ = service.request()
    assert status == 500
    service.sh("stop", check=True)
    errors = service.log("error")
    assert is_whole(errors.splitlines())
    assert all(" ERROR " in line for line in errors.splitlines() if LINE.fullmatch(line))
    assert f" {envelope['uuid']} " in errors
    assert "ZeroDivisionError" in errors
    assert errors in service.log()


def test_the_log_may_be_json(service: Service) -> None:
    service.env["LOG_FORMAT"] = "json"
    service.sh("start", check=True)
    service.request()
    service.sh("stop", check=True)
    entries = [json.loads(line) for line in service.log().splitlines()]
    (entry,) = [entry for entry in entries if entry.get("route") == "/test"]
    assert (entry["method"], entry["status"], entry["err_code"]) == ("POST", 200, 0)
    assert entry["ms"] > 0


def test_a_dash_sends_all_lines_to_stdout_in_one_form(service: Service) -> None:
    service.env["LOG_DIR"] = "-"
    process = service.popen("run")
    wait_until(service.running_pid)
    service.request()
    service.sh("reload", check=True)
    service.request("/after")
    process.terminate()
    lines = process.communicate()[0].splitlines()
    assert is_whole(lines)
    for words in ("Starting gunicorn", "POST /test 200", "POST /after 404", "Shutting down"):
        assert sum(words in line for line in lines) == 1
    assert {path.name for path in service.root.iterdir()}.isdisjoint({"-", "logs"})


def test_a_start_with_a_dash_keeps_stdout_beside_the_pid_file(service: Service) -> None:
    service.env["LOG_DIR"] = "-"
    service.sh("start", check=True)
    service.request()
    service.sh("restart", check=True)
    service.request("/after")
    service.sh("stop", check=True)
    console = (service.folder / "run/console.log").read_text()
    assert is_whole(console.splitlines())
    assert "POST /test 200" in console
    assert "POST /after 404" in console


def test_a_large_console_log_is_put_aside_and_goes_on(service: Service) -> None:
    service.add_route("print", 'print("x" * 1_000_000, flush=True); return Envelope("", {})')
    service.sh("start", check=True)
    for _ in range(12):
        service.request("/print")
    console = service.folder / "logs/console.log"
    aside = console.with_name("console.log.1")
    wait_until(aside.exists)
    wait_until(lambda: console.stat().st_size < 10_000_000)
    service.request("/print")
    assert "\0" not in console.read_text()
    assert "xxx" in console.read_text()
    assert "Starting gunicorn" in aside.read_text()


def test_a_failed_start_shows_its_own_lines_of_the_console_alone(service: Service) -> None:
    console = service.folder / "logs/console.log"
    console.parent.mkdir()
    console.write_text("a line of yesterday\n")
    hook = "def on_starting(server: Any) -> None:\n"
    service.edit("gunicorn_conf.py", hook, f'{hook}    raise SystemExit("not today")\n')
    done = service.sh("start")
    assert "not today" in done.stderr
    assert "yesterday" not in done.stderr
    assert console.read_text().startswith("a line of yesterday\n")


def block_the_folder(logs: Path) -> str:
    logs.touch()
    return f"cannot write {logs}: "


def block_the_log(logs: Path) -> str:
    log = logs / f"service-{time.strftime('%Y-%m-%d')}.log"
    log.mkdir(parents=True)
    return f"cannot write {log}: Is a directory"


def block_the_errors(logs: Path) -> str:
    log = logs / f"error-{time.strftime('%Y-%m-%d')}.log"
    log.mkdir(parents=True)
    return f"cannot write {log}: Is a directory"


def block_the_console(logs: Path) -> str:
    (logs / "console.log").mkdir(parents=True)
    return f"cannot write {logs}/console.log: "


@pytest.mark.parametrize(
    "block", [block_the_folder, block_the_log, block_the_errors, block_the_console]
)
def test_a_start_says_once_what_it_cannot_write(
    service: Service, block: Callable[[Path], str]
) -> None:
    reason = block(service.folder / "logs")
    done = service.sh("start")
    assert done.returncode == 1
    assert done.stderr.count(reason) == 1
    assert len(done.stderr.splitlines()) <= 2
    assert not service.running_pid()


@pytest.mark.parametrize("block", [block_the_log, block_the_errors])
def test_run_says_once_what_it_cannot_write(service: Service, block: Callable[[Path], str]) -> None:
    logs = service.folder / "logs"
    reason = block(logs)
    done = service.sh("run")
    assert (done.returncode, done.stderr) == (1, f"LOG_DIR={logs}: {reason}\n")


@pytest.mark.parametrize("verb", ["restart", "reload"])
def test_what_runs_goes_on_if_the_new_log_cannot_be_written(service: Service, verb: str) -> None:
    service.sh("start", check=True)
    for path in (service.folder / "logs").glob("service-*"):
        path.unlink()
        path.mkdir()
    done = service.sh(verb)
    assert done.returncode == 1
    assert "Is a directory" in done.stderr
    assert service.request()[0] == 200


def test_usr1_closes_the_files_that_were_rotated_away(service: Service) -> None:
    service.sh("start", check=True)
    service.request()
    (log,) = (service.folder / "logs").glob("service-*")
    log.unlink()
    pids = [service.pid, *service.workers()]
    os.kill(service.pid, signal.SIGUSR1)
    wait_until(lambda: not any(f"{log} (deleted)" in open_files(pid) for pid in pids))
    service.request("/after")
    assert "POST /after 404" in log.read_text()


def open_files(pid: int) -> list[str]:
    return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
