"""A reload takes new code and settings, and refuses what would take the service down."""

import os
import signal

import pytest

from tests.support.running import Call, add_slow_route, let_end
from tests.support.service import Load, Service, wait_until
from tests.support.sources import BROKEN


@pytest.mark.parametrize("verb", ["reload", "restart"])
def test_broken_code_is_refused_and_what_runs_is_untouched(service: Service, verb: str) -> None:
    service.sh("start", check=True)
    before = service.pid, service.workers()
    for file, old, new, reason in BROKEN:
        service.edit(file, old, new)
        done = service.sh(verb)
        assert done.returncode == 1
        assert reason in done.stderr
        assert (service.pid, service.workers()) == before
        assert service.request()[0] == 200
        service.edit(file, new, old)
    service.sh(verb, check=True)
    assert not set(service.workers()) & set(before[1])


def test_wrong_settings_are_refused_by_reload_and_do_not_hinder_stop(service: Service) -> None:
    service.sh("start", check=True)
    (service.root / ".env").write_text("WORKERS=many\n")
    done = service.sh("reload")
    assert done.returncode == 1
    assert "WORKERS in .env: expected an integer, at least 1, at most 512" in done.stderr
    assert service.request()[0] == 200
    assert service.sh("stop").stdout == "pyserver has stopped\n"


def test_a_bare_hup_with_broken_code_is_refused_too(service: Service) -> None:
    service.sh("start", check=True)
    before = service.workers()
    service.edit("api.py", "import random", "import nowhere_to_be_found")
    os.kill(service.pid, signal.SIGHUP)
    wait_until(lambda: "nowhere_to_be_found" in service.log("error"))
    assert service.workers() == before
    assert service.request()[0] == 200
    service.edit("api.py", "import nowhere_to_be_found", "import random")
    service.sh("reload", check=True)
    assert not set(service.workers()) & set(before)


def test_new_code_and_settings_of_every_layer_are_taken(service: Service) -> None:
    service.sh("start", check=True)
    service.edit("api.py", "random.choice((-1, 0, 1))", "77")
    service.edit("utils/web/service.py", '"ok"', '"fine"')
    (service.root / ".env").write_text("WORKERS=3\nMAX_BODY_BYTES=100\n")
    service.sh("reload", check=True)
    _, envelope, _ = service.request()
    assert (envelope["data"]["result"], envelope["err_msg"]) == (77, "fine")
    assert len(service.workers()) == 3
    assert service.request(body=" " * 101)[0] == 413
    (service.root / ".env").write_text("")
    service.sh("reload", check=True)
    assert len(service.workers()) == 2


def test_settings_that_need_a_restart_are_refused(service: Service) -> None:
    usual = f"SERVER_PORT={service.env.pop('SERVER_PORT')}\n"
    env_file = service.root / ".env"
    env_file.write_text(usual)
    service.sh("start", check=True)
    before = service.workers()
    for name, value in (
        ("SERVER_PORT", "10002"),
        ("SERVER_IP", "0.0.0.0"),
        ("SERVER_SOCKET", "run/socket"),
        ("SERVER_SOCKET_MODE", "600"),
    ):
        env_file.write_text(f"{usual}{name}={value}\nWORKERS=3\n")
        done = service.sh("reload")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"a new {name} needs a restart\n"
            "run.sh: reload refused; the running service is untouched\n"
        )
        assert service.workers() == before
    assert service.request()[0] == 200
    env_file.write_text(f"{usual}WORKERS=3\nSERVICE_NAME=shop\n")
    del service.env["SERVICE_NAME"]
    service.sh("reload", check=True)
    assert len(service.workers()) == 3


@pytest.mark.parametrize(("name", "value"), [("SERVER_PORT", "10002"), ("RUN_DIR", "elsewhere")])
def test_a_bare_hup_with_a_setting_that_needs_a_restart_is_refused_too(
    service: Service, name: str, value: str
) -> None:
    usual = service.env.pop(name)
    (service.root / ".env").write_text(f"{name}={usual}\n")
    service.sh("start", check=True)
    before = service.workers()
    (service.root / ".env").write_text(f"{name}={value}\n")
    service.env[name] = usual  # run.sh finds the service by it
    os.kill(service.pid, signal.SIGHUP)
    wait_until(lambda: f"reload refused: a new {name} needs a restart" in service.log("error"))
    assert service.workers() == before
    assert service.request()[0] == 200


def test_the_log_has_the_reason_of_a_refusal_as_a_traceback_without_foreign_frames(
    service: Service,
) -> None:
    service.sh("start", check=True)
    service.edit("api.py", "import random", "import random\n\n1 / 0\n")
    service.sh("reload")
    (head, *trace) = service.log("error").splitlines()
    assert head.endswith("reload refused: ZeroDivisionError: division by zero")
    assert trace[:2] == [
        "  | Error while loading the application:",
        "  | Traceback (most recent call last):",
    ]
    frames = [line for line in trace if line.startswith('  |   File "')]
    assert [frame.split('"')[1] for frame in frames] == [
        str(service.root / name) for name in ("app.py", "server.py", "api.py")
    ]
    assert "1 / 0" in "".join(trace)


def test_a_changed_list_of_packages_is_told(service: Service) -> None:
    service.sh("start", check=True)
    with (service.root / "requirements.txt").open("a") as file:
        file.write("six==1.17.0\n")
    done = service.sh("reload", check=True)
    assert done.stderr.startswith("requirements.txt has changed since its lock was made")


def test_new_packages_are_left_to_a_restart(service: Service) -> None:
    service.sh("start", check=True)
    before = service.workers()
    with (service.root / "requirements.lock").open("a") as file:
        file.write("# changed\n")
    done = service.sh("reload")
    assert done.returncode == 1
    assert "new packages need a restart" in done.stderr
    assert service.workers() == before


def test_it_needs_a_running_service(service: Service) -> None:
    done = service.sh("reload")
    assert (done.returncode, done.stderr) == (1, "run.sh: pyserver is not running\n")


def test_it_needs_a_service_that_serves(service: Service) -> None:
    service.edit("api.py", "import random", "import random, time; time.sleep(600)")
    process = service.popen("run")
    wait_until(lambda: service.sh("status").returncode == 0)
    done = service.sh("reload")
    assert done.returncode == 1
    assert done.stderr == f"run.sh: pyserver is starting or stopping (pid {process.pid})\n"
    process.terminate()
    process.wait(60)


def test_it_returns_while_an_old_request_goes_on(service: Service) -> None:
    add_slow_route(service)
    service.sh("start", check=True)
    call = Call(service, "/slow")
    service.edit("api.py", "random.choice((-1, 0, 1))", "77")
    service.sh("reload", check=True)
    assert service.request()[1]["data"]["result"] == 77
    assert call.thread.is_alive()
    let_end(service)
    assert call.status() == 200


def test_many_in_a_row_under_load_lose_no_request(service: Service) -> None:
    service.sh("start", check=True)
    with Load(service, keeping=16, closing=16) as load:
        for _ in range(4):
            before = service.workers()
            service.sh("reload", check=True)
            assert not set(before) & set(service.workers())
    assert load.failures == []
    assert load.answers > 100
