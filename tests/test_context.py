"""What belongs to a request: its uuid goes with it, its deadline ends it, but for a step begun."""

import gevent
import pytest

from utils.context import check_deadline, request_deadline, request_uuid, spared
from utils.errors import DeadlineError, NotBegunError


def test_a_greenlet_has_the_uuid_of_the_request_that_spawned_it() -> None:
    request_uuid.set("first")

    def spawn_another() -> str | None:
        gevent.sleep(0)
        return gevent.spawn(request_uuid.get).get()

    inner = gevent.spawn(spawn_another)
    request_uuid.set("second")
    assert inner.get() == "first"
    assert gevent.spawn(request_uuid.get).get() == "second"


def test_a_step_that_has_begun_is_spared_for_a_while() -> None:
    done = []
    with pytest.raises(DeadlineError), request_deadline(0.01):
        with spared(20):
            gevent.sleep(0.1)
        done.append(1)
        gevent.sleep(20)
        done.append(2)
    assert done == [1]


def test_a_step_that_takes_too_long_is_cut() -> None:
    with pytest.raises(DeadlineError), request_deadline(0.01), spared(0.1):
        gevent.sleep(60)


def test_a_step_makes_no_deadline_earlier() -> None:
    with request_deadline(20):
        with spared(0.01):
            gevent.sleep(0.1)
        gevent.sleep(0.1)


def test_a_step_is_not_begun_when_the_time_is_up() -> None:
    with pytest.raises(NotBegunError), request_deadline(0.01):
        check_deadline()
        with spared():
            gevent.sleep(0.1)
        check_deadline()


def test_what_cleans_up_after_a_deadline_is_not_cut_again() -> None:
    cleaned = []

    def clean_up() -> None:
        check_deadline()
        with spared():
            gevent.sleep(0.05)
        gevent.sleep(0.05)
        cleaned.append(1)

    with pytest.raises(DeadlineError), request_deadline(0.01):
        try:
            gevent.sleep(60)
        finally:
            clean_up()
    assert cleaned == [1]


def test_a_greenlet_that_outlives_its_request_may_go_on() -> None:
    def go_on() -> bool:
        gevent.sleep(0.05)
        check_deadline()
        with spared():
            gevent.sleep(0.01)
        return True

    with request_deadline(0.02):
        background = gevent.spawn(go_on)
    assert background.get()
