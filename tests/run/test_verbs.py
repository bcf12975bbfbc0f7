"""Every verb of run.sh does what it is for, under each shell."""

import re
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.support.running import leftovers, port_is_free
from tests.support.service import Service, wait_until


@pytest.fixture
def service(service: Service, shell: list[str]) -> Service:
    """The copy, whose run.sh this shell reads."""
    service.shell = shell
    return service


@pytest.fixture(scope="module")
def up(shell: list[str]) -> Iterator[Service]:
    """A copy that serves, for all tests that leave it so."""
    service = Service()
    service.shell = shell
    service.sh("start", check=True)
    yield service
    service.remove()


def test_start_says_where_it_is_and_how_to_try_it_and_stop_leaves_nothing(service: Service) -> None:
    said, curl = service.sh("start", check=True).stdout.splitlines()
    assert said == f"pyserver is up at http://127.0.0.1:{service.port} (pid {service.pid}); try"
    answer = subprocess.run(curl, shell=True, capture_output=True, text=True, check=True).stdout
    assert '"order_id":12345' in answer
    assert service.sh("stop", check=True).stdout == "pyserver has stopped\n"
    assert port_is_free(service)
    assert leftovers(service) == []


def test_a_second_start_leaves_the_first_one_be(up: Service) -> None:
    first = up.pid
    again = up.sh("start")
    assert (again.returncode, again.stdout) == (0, f"pyserver is already running (pid {first})\n")
    assert up.pid == first


def test_status_tells_pid_address_workers_and_uptime(up: Service) -> None:
    status = up.sh("status")
    assert status.returncode == 0
    words = re.sub(" +", " ", status.stdout)
    workers = " ".join(map(str, up.workers()))
    address = f"http://127.0.0.1:{up.port}"
    for fact in (f"pid {up.pid}", f"address {address}", f"workers {workers}", "uptime "):
        assert fact in words


def test_reload_keeps_the_master_and_replaces_the_workers(up: Service) -> None:
    master, workers = up.pid, up.workers()
    assert up.sh("reload", check=True).stdout == "pyserver has reloaded\n"
    assert up.pid == master
    assert not set(workers) & set(up.workers())


def test_restart_replaces_the_master(up: Service) -> None:
    first = up.pid
    assert "pyserver is up at" in up.sh("restart", check=True).stdout
    assert up.pid != first
    assert up.request()[0] == 200


def test_stop_and_status_without_a_running_service(service: Service) -> None:
    stopped = service.sh("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "pyserver is not running\n")
    status = service.sh("status")
    assert (status.returncode, status.stdout) == (3, "pyserver is not running\n")


def test_config_shows_the_settings(service: Service) -> None:
    assert "SERVER_PORT" in service.sh("config", check=True).stdout


def test_an_unknown_verb_is_refused_with_the_list_of_verbs(service: Service) -> None:
    done = service.sh("dance")
    assert done.returncode == 1
    assert "start|stop" in done.stdout
    assert leftovers(service) == []


def test_run_stays_in_the_foreground_and_is_the_process_that_gets_the_signal(
    service: Service,
) -> None:
    process = service.popen("run")
    wait_until(service.running_pid)
    assert service.pid == process.pid
    assert service.request()[0] == 200
    second = service.sh("run")
    assert (second.returncode, second.stderr) == (
        1,
        f"run.sh: it is already running (pid {process.pid})\n",
    )
    process.terminate()
    assert process.wait(20) == 0
    assert leftovers(service) == []


def test_no_trusted_proxy_means_that_no_forwarded_header_counts(
    make_service: Callable[..., Service],
) -> None:
    for proxies, scheme in (("", "http"), ("127.0.0.0/8", "https")):
        service = make_service(TRUSTED_PROXIES=proxies)
        service.add_route("scheme", "return Envelope(request.uuid, {}, request.scheme)")
        service.sh("start", check=True)
        assert service.request("/scheme", X_Forwarded_Proto="https")[1]["data"] == scheme
