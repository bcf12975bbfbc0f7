"""Whatever a route raises becomes an envelope."""

from typing import Any

import pytest
from gevent import Timeout
from werkzeug.test import Client

from tests.support.envelopes import KEYS, envelope, post
from utils.errors import OverloadError, ProcessError, ServiceError, UnavailableError


@pytest.mark.parametrize(
    "error",
    [ValueError("secret"), ServiceError("secret"), SystemExit("secret"), Timeout(1), KeyError()],
    ids=repr,
)
def test_an_unforeseen_error_tells_the_client_nothing(
    client: Client, raising: Any, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    raising(error)
    response = post(client)
    answer = envelope(response)
    assert (response.status_code, answer["err_code"]) == (500, -1)
    assert answer["err_msg"] == "server error"
    assert any(record.exc_info and record.exc_info[1] is error for record in caplog.records)


@pytest.mark.parametrize(
    ("error", "status", "err_code", "retry"),
    [
        (ProcessError("sold out"), 422, -3, None),
        (UnavailableError("mysql is away"), 503, -5, "1"),
        (OverloadError(), 503, -7, "1"),
    ],
)
def test_a_service_error_is_its_envelope(
    client: Client, raising: Any, error: ServiceError, status: int, err_code: int, retry: str | None
) -> None:
    raising(error)
    response = post(client)
    answer = envelope(response)
    assert (response.status_code, answer["err_code"]) == (status, err_code)
    assert answer["err_msg"] == str(error)
    assert response.headers.get("Retry-After") == retry


@pytest.mark.parametrize("error", [ProcessError("sold out"), ValueError()])
def test_a_refusal_echoes_what_the_request_named(
    client: Client, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def process(self: Any) -> None:
        raise error

    monkeypatch.setattr("api.TestApi.process", process)
    assert list(envelope(post(client))) == ["order_id", *KEYS]


def test_a_timeout_that_is_not_the_deadline_is_unforeseen(client: Client, raising: Any) -> None:
    raising(Timeout(5))
    assert envelope(post(client))["err_code"] == -1
