"""A stop and a restart let the requests in flight finish."""

from collections.abc import Callable

import pytest

from tests.support.processes import alive
from tests.support.running import Call, add_slow_route, leftovers, let_end, port_is_free
from tests.support.service import Service, wait_until


@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_requests_in_flight_finish(service: Service, verb: str) -> None:
    add_slow_route(service)
    service.sh("start", check=True)
    first, call = service.pid, Call(service, "/slow")
    process = service.popen(verb)
    wait_until(lambda: port_is_free(service))
    assert process.poll() is None
    let_end(service)
    assert call.status() == 200
    assert process.wait() == 0, process.communicate()
    assert alive(first) is False
    assert port_is_free(service) == (verb == "stop")
    assert verb == "restart" or leftovers(service) == []


def test_a_request_beyond_the_graceful_timeout_does_not_hold_a_restart(service: Service) -> None:
    service.env["GRACEFUL_TIMEOUT"] = "1"
    add_slow_route(service)
    service.sh("start", check=True)
    call = Call(service, "/slow")
    service.sh("restart", check=True)
    assert service.request()[0] == 200
    assert "RemoteDisconnected" in call.status() or "Reset" in call.status()


def test_restarts_at_once_leave_one_service(service: Service) -> None:
    service.sh("start", check=True)
    restarts = [service.popen("restart") for _ in range(2)]
    printed = [restart.communicate()[0] for restart in restarts]
    assert [restart.returncode for restart in restarts] == [0, 0], printed
    assert service.request()[0] == 200
    assert service.sh("stop").stdout == "pyserver has stopped\n"
    assert leftovers(service) == []


def test_a_stop_during_a_start_stops_what_has_started(service: Service) -> None:
    start, stop = service.popen("start"), None
    for line in start.stdout or ():
        if "is up at" in line:
            stop = service.popen("stop")
    assert start.wait() == 0
    assert stop
    assert stop.communicate()[0] == "pyserver has stopped\n"
    assert leftovers(service) == []


def test_a_restart_to_a_taken_address_stops_nothing(make_service: Callable[..., Service]) -> None:
    service, other = make_service(), make_service()
    service.sh("start", check=True)
    other.sh("start", check=True)
    before = service.pid, service.workers()
    service.env["SERVER_PORT"] = str(other.port)
    done = service.sh("restart")
    assert done.returncode == 1
    assert f"{other.port}: address already in use" in done.stderr
    assert "restart refused; what was running still is" in done.stderr
    assert (service.pid, service.workers()) == before
    assert service.request()[0] == 200


def test_a_restart_of_what_does_not_serve_yet_starts_it_anew(service: Service) -> None:
    service.edit("api.py", "import random", "import random, time; time.sleep(600)")
    process = service.popen("run")
    wait_until(lambda: service.sh("status").returncode == 0)
    service.edit("api.py", "; time.sleep(600)", "")
    service.env["GRACEFUL_TIMEOUT"] = "2"
    assert "is up at" in service.sh("restart", check=True).stdout
    assert process.wait(60) is not None
    assert service.request()[0] == 200
