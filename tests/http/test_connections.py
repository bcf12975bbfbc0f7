"""Connections are kept and shared, and no call gets the answer to another."""

import gc
import itertools
import os
import random

import gevent
import pytest

from tests.support.faulty import Faulty
from utils.http import Upstream


def ask(upstream: Upstream, name: object) -> str:
    return str(upstream.get("/echo", str(name)).decode()["id"])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_was_closed_while_idle_fails_no_call(
    faulty: Faulty, upstream: Upstream, method: str
) -> None:
    for number in range(20):
        response = upstream.request(method, f"/echo/{number}")
        assert response.decode() == {"id": str(number)}
        faulty.close_connections()
    assert (faulty.connections, len(faulty.requests)) == (20, 20)


def test_a_connection_with_stray_bytes_on_it_is_not_used_again(
    faulty: Faulty, upstream: Upstream
) -> None:
    assert ask(upstream, 1) == "1"
    (sock,) = faulty.open
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + b'{"id":"0"}')
    assert ask(upstream, 2) == "2"
    assert faulty.connections == 2


def test_what_follows_a_response_is_not_taken_for_the_next_one(
    faulty: Faulty, upstream: Upstream
) -> None:
    for number in range(10):
        upstream.get("/two_answers")
        assert ask(upstream, number) == str(number)


def test_fifty_at_a_time_share_fifty_connections(faulty: Faulty, upstream: Upstream) -> None:
    for _ in range(4):
        calls = [gevent.spawn(upstream.get, f"/slow/{number}") for number in range(50)]
        answers = [call.get().decode()["id"] for call in calls]
        assert answers == [str(number) for number in range(50)]
    assert faulty.connections <= 50


def test_calls_that_are_cut_mix_no_answers_and_spoil_no_later_call(
    faulty: Faulty, upstream: Upstream
) -> None:
    numbers = itertools.count()
    finished = []

    def call() -> None:
        number = next(numbers)
        path = random.choice(("slow", "torn"))
        with gevent.Timeout(random.uniform(0.01, 1), False):  # type: ignore[arg-type]
            finished.append((upstream.get(f"/{path}/{number}").decode()["id"], str(number)))

    for _ in range(3):
        calls = [gevent.spawn(call) for _ in range(200)]
        for victim in random.sample(calls, 50):
            gevent.spawn_later(random.uniform(0, 0.5), victim.kill)
        gevent.joinall(calls, raise_error=True)
        assert [ask(upstream, number) for number in range(5)] == list("01234")
    gc.collect()
    assert 0 < len(finished) < 600
    assert all(got == asked for got, asked in finished)


def test_a_killed_call_closes_its_connection(faulty: Faulty, upstream: Upstream) -> None:
    for path in ("/hang", "/half", "/dribble"):
        faulty.arrived.clear()
        call = gevent.spawn(upstream.get, path)
        assert faulty.arrived.wait(20)
        call.kill()
        assert ask(upstream, path[1:]) == path[1:]
    assert faulty.connections == 4


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("calls_before", [0, 1])
def test_a_call_that_is_killed_at_any_moment_leaves_no_socket_open(
    upstream: Upstream, calls_before: int, turns: int
) -> None:
    """The collector would warn of the socket, and a warning is an error."""
    for _ in range(calls_before):
        ask(upstream, 1)
    call = gevent.spawn(upstream.get, "/torn/1")
    for _ in range(turns):
        gevent.sleep(0)
    call.kill()
    del call
    gc.collect()


def test_a_forked_process_has_a_session_of_its_own(upstream: Upstream) -> None:
    mine = upstream.session()
    if (pid := os.fork()) == 0:
        shared = True
        try:
            shared = upstream.session() is mine
        finally:
            os._exit(shared)
    assert os.waitpid(pid, 0)[1] == 0
    assert upstream.session() is mine


def test_a_connection_older_than_max_age_is_not_used_again(faulty: Faulty) -> None:
    young = Upstream("warehouse", faulty.url, max_age=1000)
    for _ in range(5):
        young.get("/echo/1")
    assert faulty.connections == 1
    aged = Upstream("warehouse", faulty.url, max_age=0)
    for _ in range(5):
        aged.post("/echo/1")
    assert (faulty.connections, len(faulty.requests)) == (6, 10)


def test_max_age_does_not_cut_a_running_call(faulty: Faulty) -> None:
    assert Upstream("warehouse", faulty.url, max_age=0).get("/torn/1").decode() == {"id": "1"}
