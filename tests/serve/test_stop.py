"""A stop: nobody new is let in, nobody idle is waited for, nobody in flight is lost."""

import os
import signal

import pytest

from tests.serve.conftest import Gated
from tests.support.processes import alive
from tests.support.service import wait_until
from tests.support.wire import HEAD, ORDER, post


def begin_stop(service: Gated, sig: int = signal.SIGTERM) -> int:
    """Signal the master; return its pid once nobody listens any more."""
    pid = service.pid
    os.kill(pid, sig)
    wait_until(lambda: attempt(service) == "refused")
    return pid


def attempt(service: Gated) -> str:
    """Return what becomes of a client that comes now."""
    try:
        client = service.connect(post())
    except ConnectionRefusedError:
        return "refused"
    try:
        return str(client.reply().status)
    except (OSError, EOFError) as error:
        return repr(error)


def await_gone(pid: int, seconds: float) -> None:
    wait_until(lambda: not alive(pid), seconds)


def test_new_clients_are_refused_while_a_request_is_in_flight(gated: Gated) -> None:
    gated.sh("start", check=True)
    last = gated.connect(post("/gate"))
    gated.await_begun()
    pid = gated.pid
    os.kill(pid, signal.SIGTERM)
    outcomes = [attempt(gated) for _ in range(200)]
    assert set(outcomes) <= {"200", "refused"}
    assert outcomes[-1] == "refused"
    assert alive(pid)
    gated.open_gate()
    assert last.reply().status == 200


def test_nobody_is_reset_while_idle_clients_are_there_at_a_restart(gated: Gated) -> None:
    gated.sh("start", check=True)
    idle = [gated.connect(post()) for _ in range(4)]
    assert [client.reply().status for client in idle] == [200] * 4
    outcomes = set()
    restart = gated.popen("restart")
    while restart.poll() is None:
        outcomes.add(attempt(gated))
    assert restart.communicate()[0].startswith("pyserver is up")
    assert outcomes <= {"200", "refused"}


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_nobody_idle_holds_up_a_stop(gated: Gated, sig: int) -> None:
    gated.sh("start", check=True)
    silent, half_a_head = gated.connect(), gated.connect(HEAD + b"Content-")
    refused = gated.connect(b"nonsense\r\n\r\n")
    idle = gated.connect(post())
    assert [refused.reply().status, idle.reply().status] == [400, 200]
    await_gone(begin_stop(gated, sig), 10)
    assert all(client.is_closed() for client in (silent, half_a_head, refused, idle))


def test_requests_in_flight_are_answered_and_end_their_connections(gated: Gated) -> None:
    gated.sh("start", check=True)
    clients = [gated.connect(post("/gate")) for _ in range(50)]
    gated.await_begun(50)
    pid = begin_stop(gated)
    gated.open_gate()
    for client in clients:
        answer = client.reply()
        assert (answer.status, answer.envelope["data"]) == (200, len(ORDER))
        assert answer.headers["Connection"] == "close"
        assert client.is_closed()
    await_gone(pid, 10)


def test_a_body_that_is_half_sent_is_waited_for(gated: Gated) -> None:
    gated.sh("start", check=True)
    gated.open_gate()
    client = gated.connect(post("/gate")[:-5])
    gated.await_begun()
    begin_stop(gated)
    answer = client.send(ORDER[-5:]).reply()
    assert (answer.status, answer.envelope["data"]) == (200, len(ORDER))
    assert answer.headers["Connection"] == "close"


def test_a_slow_reader_gets_the_whole_of_its_answer(gated: Gated) -> None:
    gated.sh("start", check=True)
    client = gated.connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.sock.recv(1) == b"H"
    begin_stop(gated)
    assert len(client.sock.recv(1)) == 1
    assert client.file.read().endswith(b"x" * 30_000_000)


def test_a_pipelined_request_is_left_for_another_connection(gated: Gated) -> None:
    gated.sh("start", check=True)
    client = gated.connect(post("/gate") + post("/gate") * 3)
    gated.await_begun()
    begin_stop(gated)
    client.send(post("/gate") * 1000)
    gated.open_gate()
    answer = client.reply()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert client.is_closed()
    assert len((gated.root / "begun").read_text()) == 1


def test_clients_in_the_queue_of_the_kernel_are_served(gated: Gated) -> None:
    gated.env["WORKERS"] = "1"
    gated.sh("start", check=True)
    (worker,) = gated.workers()
    idle = gated.connect(post())
    assert idle.reply().status == 200
    blocking = gated.connect(post("/block"))
    gated.await_begun()
    queued = [gated.connect(post()) for _ in range(30)]
    idle.send(post())
    os.kill(gated.pid, signal.SIGTERM)
    wait_until(lambda: not (gated.folder / "run/state").exists())
    os.kill(worker, signal.SIGTERM)  # the master's may not be there yet
    gated.open_gate()
    for client in (blocking, idle, *queued):
        answer = client.reply()
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        assert client.is_closed()


def test_a_request_that_came_while_the_worker_was_busy_is_served(gated: Gated) -> None:
    gated.env["WORKERS"] = "1"
    gated.sh("start", check=True)
    (worker,) = gated.workers()
    idle = gated.connect(post())
    assert idle.reply().status == 200
    napping = gated.root / "napping"
    gated.connect(post("/nap"))
    wait_until(napping.exists)
    os.kill(worker, signal.SIGTERM)
    for _ in range(2):  # the worker has no time to look at its idle clients
        gated.connect(post("/nap"))
        napping.unlink()
        wait_until(napping.exists)
    idle.send(post("/gate"))
    napping.unlink()
    gated.await_begun()
    gated.open_gate()
    assert idle.reply().status == 200


def test_a_second_signal_ends_a_stop_that_takes_long(gated: Gated) -> None:
    gated.sh("start", check=True)
    client = gated.connect(post("/gate"))
    gated.await_begun()
    pid = begin_stop(gated)
    os.kill(pid, signal.SIGINT)
    await_gone(pid, 20)
    assert client.is_closed()
    assert (gated.root / "ended").exists()


def test_a_request_beyond_the_graceful_timeout_is_cut(gated: Gated) -> None:
    gated.env["GRACEFUL_TIMEOUT"] = "1"
    gated.sh("start", check=True)
    client = gated.connect(post("/gate"))
    gated.await_begun()
    await_gone(begin_stop(gated), 20)
    assert client.is_closed()
    assert (gated.root / "ended").exists()


@pytest.mark.parametrize("file", ["gunicorn_conf.py", "app.py"])
def test_a_worker_that_boots_does_not_hold_up_a_stop(gated: Gated, file: str) -> None:
    # In post_fork a signal is lost: the handlers are still the master's.
    hook = "def post_fork(server: Any, worker: Any) -> None:\n"
    gated.edit("gunicorn_conf.py", hook, f"{hook}    import time; time.sleep(1)\n")
    gated.edit("app.py", "def g_app", "import time\n\ntime.sleep(60)\n\n\ndef g_app")
    before = {"gunicorn_conf.py": "import time; ", "app.py": "time.sleep(60)"}[file]
    gated.edit(file, before, f"open('booting', 'w'); {before}")
    run = gated.popen("run")
    wait_until((gated.root / "booting").exists)
    os.kill(gated.pid, signal.SIGTERM)
    run.communicate(timeout=30)


def test_workers_without_a_master_finish_and_leave(gated: Gated) -> None:
    gated.sh("start", check=True)
    client = gated.connect(post("/gate"))
    gated.await_begun()
    workers = gated.workers()
    os.kill(gated.pid, signal.SIGKILL)
    wait_until(lambda: attempt(gated) == "refused")
    gated.open_gate()
    assert client.reply().status == 200
    wait_until(lambda: not any(map(alive, workers)))
