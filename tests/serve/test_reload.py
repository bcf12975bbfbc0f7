"""A reload: the old workers leave when they are no longer needed, and nothing waits for them."""

import os
import signal

from tests.serve.conftest import Gated
from tests.support.processes import alive
from tests.support.service import wait_until
from tests.support.wire import post


def test_an_idle_connection_outlives_a_reload_by_one_request(gated: Gated) -> None:
    gated.sh("start", check=True)
    client = gated.connect(post())
    assert client.reply().headers["Connection"] == "keep-alive"
    gated.sh("reload", check=True)
    answer = client.send(post()).reply()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert client.is_closed()


def test_a_worker_killed_while_others_retire_is_replaced(gated: Gated) -> None:
    gated.sh("start", check=True)
    last = gated.connect(post("/gate"))
    gated.await_begun()
    gated.sh("reload", check=True)
    before = gated.workers()
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(gated.workers()) == 2 and before[0] not in gated.workers())
    assert gated.request()[0] == 200
    gated.open_gate()
    assert last.reply().status == 200


def test_a_second_reload_does_not_wait_for_requests_of_the_first(gated: Gated) -> None:
    gated.sh("start", check=True)
    last = gated.connect(post("/gate"))
    gated.await_begun()
    for _ in range(2):
        before = gated.workers()
        gated.sh("reload", check=True)
        assert not set(before) & set(gated.workers())
    gated.open_gate()
    assert last.reply().status == 200


def test_idle_clients_of_retiring_workers_do_not_hold_up_a_stop(gated: Gated) -> None:
    gated.sh("start", check=True)
    idle = gated.connect(post())
    assert idle.reply().status == 200
    gated.sh("reload", check=True)
    pid = gated.pid
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not alive(pid), 10)
    assert idle.is_closed()


def test_a_stop_does_not_wait_for_workers_that_a_reload_starts(gated: Gated) -> None:
    gated.sh("start", check=True)
    hook = "def post_worker_init(worker: Any) -> None:\n"
    gated.edit("gunicorn_conf.py", hook, f"{hook}    import time; time.sleep(60)\n")
    pid = gated.pid
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: gated.log().count("Booting worker") > 2)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not alive(pid))


def test_a_stop_does_not_wait_for_the_check_of_a_reload(gated: Gated) -> None:
    gated.sh("start", check=True)
    gated.edit("app.py", "def g_app", "open('checked', 'w')\ntime.sleep(60)\n\n\ndef g_app")
    gated.edit("app.py", "from typing import Any", "import time\nfrom typing import Any")
    pid = gated.pid
    os.kill(pid, signal.SIGHUP)
    wait_until((gated.root / "checked").exists)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not alive(pid), 15)
