"""The time that a request may take: its route's, or less if the caller says so."""

import time
from typing import Any

import gevent
import pytest
from werkzeug.test import Client

from decorator import url_map
from server import Server
from tests.support.envelopes import envelope, post
from utils.context import deadline, time_left
from utils.web import Request


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the method of /test wait for ever."""
    monkeypatch.setattr(Server, "api_test", lambda self, request: gevent.sleep(60))


@pytest.mark.parametrize(("sent", "seconds"), [("200", 0.2), ("50", 0.05)])
def test_a_caller_may_want_a_smaller_deadline(
    client: Client, monkeypatch: pytest.MonkeyPatch, sent: str, seconds: float
) -> None:
    left = []

    def api_test(self: Server, request: Request) -> None:
        left.append(time_left(60))
        gevent.sleep(60)

    monkeypatch.setattr(Server, "api_test", api_test)
    started = time.monotonic()
    response = post(client, headers={"X-Request-Timeout-Ms": sent})
    assert time.monotonic() - started >= seconds
    assert 0 < left[0] <= seconds
    assert (response.status_code, envelope(response)["err_code"]) == (504, -6)


def test_a_route_is_not_called_if_no_time_is_left(client: Client, raising: Any) -> None:
    raising(AssertionError("called"))
    response = post(client, headers={"X-Request-Timeout-Ms": "0"})
    assert (response.status_code, envelope(response)["err_code"]) == (504, -6)


def test_a_deadline_ends_with_its_request(client: Client) -> None:
    post(client)
    assert deadline.get(None) is None


def test_a_route_may_have_a_deadline_of_its_own(
    client: Client, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (rule,) = [rule for rule in url_map.iter_rules() if rule.endpoint == "api_test"]
    monkeypatch.setattr(rule, "timeout", 0.1)
    for sent in ("60000", "-1", "soon", "1e1", ""):
        response = post(client, headers={"X-Request-Timeout-Ms": sent})
        assert envelope(response)["err_code"] == -6
