"""A start brings up one service, or says why not and leaves nothing."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.processes import alive, processes_in
from tests.support.running import Call, add_slow_route, leftovers, let_end
from tests.support.service import Service, wait_until
from tests.support.sources import BROKEN


def test_a_taken_port_is_named_and_leaves_nothing(make_service: Callable[..., Service]) -> None:
    first, second = make_service(), make_service()
    second.env["SERVER_PORT"] = str(first.port)
    first.sh("start", check=True)
    for verb in ("start", "restart", "supervise"):
        done = second.sh(verb)
        assert done.returncode == 1
        assert f"cannot listen on 127.0.0.1:{first.port}: address already in use" in done.stderr
        assert "set SERVER_PORT to another port" in done.stderr
        assert leftovers(second) == []
    assert first.request()[0] == 200


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "nowhere.invalid"])
def test_an_address_of_another_machine_is_named(service: Service, address: str) -> None:
    service.env["SERVER_IP"] = address
    done = service.sh("start")
    assert done.returncode == 1
    assert "set SERVER_IP to an address of this machine" in done.stderr
    assert leftovers(service) == []


@pytest.mark.parametrize(("file", "old", "new", "reason"), BROKEN, ids=[b[3] for b in BROKEN])
def test_broken_code_fails_with_the_reason(
    service: Service, file: str, old: str, new: str, reason: str
) -> None:
    service.edit(file, old, new)
    done = service.sh("start")
    assert done.returncode == 1
    assert reason in done.stderr
    assert leftovers(service) == []


def test_a_second_failure_does_not_show_the_first_one(service: Service) -> None:
    service.edit("api.py", "import random", "import nowhere_to_be_found")
    service.sh("start")
    service.edit("api.py", "import nowhere_to_be_found", "import not_there_either")
    said = service.sh("start").stderr
    assert "not_there_either" in said
    assert "nowhere_to_be_found" not in said
    assert "nowhere_to_be_found" in (service.folder / "logs/console.log").read_text()


def test_starts_at_once_make_one_service(service: Service) -> None:
    starts = [service.popen("start") for _ in range(3)]
    printed = [start.communicate()[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0], printed
    assert sum("is up at" in text for text in printed) == 1
    assert sum("already running" in text for text in printed) == 2
    assert len(processes_in(service.folder)) == 3  # a master and its two workers


def test_a_killed_master_leaves_nothing_that_hinders_a_start(service: Service) -> None:
    service.sh("start", check=True)
    first = service.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not alive(first))
    assert service.sh("status").returncode == 3
    service.sh("start", check=True)
    assert service.pid != first
    assert service.request()[0] == 200


@pytest.mark.parametrize("name", ["RUN_DIR", "LOG_DIR"])
def test_a_folder_that_cannot_be_made_is_named(service: Service, name: str) -> None:
    file = service.folder / "file"
    file.touch()
    service.env[name] = str(file / "folder")
    done = service.sh("start")
    assert done.returncode == 1
    assert str(file) in done.stderr
    assert processes_in(service.folder) == {}


def test_a_folder_of_any_name_will_do(service: Service) -> None:
    service.root = service.root.rename(service.folder / 'it\'s "two\nlines" $(touch x) `y` *;%(z)s')
    service.env.pop("RUN_DIR")
    service.env.pop("LOG_DIR")
    assert "is up at" in service.sh("start", check=True).stdout
    assert service.request()[0] == 200
    for verb in ("reload", "restart", "status", "stop"):
        service.sh(verb, check=True)
    assert processes_in(service.folder) == {}
    assert not (service.root / "x").exists()


def test_what_a_start_needs_is_little(service: Service) -> None:
    for name in ("HOME", "LANG", "USER", "TERM"):
        service.env.pop(name, None)
    umask = os.umask(0o077)
    try:
        service.sh("start", check=True)
        assert service.request()[0] == 200
    finally:
        os.umask(umask)


def test_a_start_while_the_old_one_stops_waits_for_it(service: Service) -> None:
    add_slow_route(service)
    service.sh("start", check=True)
    first, call = service.pid, Call(service, "/slow")
    os.kill(first, signal.SIGTERM)
    wait_until(lambda: service.running_pid() is None)
    start = service.popen("start")
    let_end(service)
    assert "is up at" in start.communicate()[0]
    assert call.status() == 200
    assert service.pid != first


def test_the_service_gets_the_environment_as_it_is(service: Service) -> None:
    names = ("ENV", "ROOT", "PY", "SELF", "LOCKS", "UV", "PWD_", "CDPATH")
    service.env.update(dict.fromkeys(names, "mine"))
    service.sh("start", check=True)
    got = Path(f"/proc/{service.pid}/environ").read_text().split("\0")
    assert {f"{name}=mine" for name in names} <= set(got)
