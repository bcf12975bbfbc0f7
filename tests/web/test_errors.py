"""The error tree."""

import pytest
from werkzeug.exceptions import MethodNotAllowed, NotFound, TooManyRequests

from utils import errors
from utils.errors import ServiceError, as_service_error


def test_a_refusal_of_http_keeps_its_status_and_headers() -> None:
    error = as_service_error(MethodNotAllowed(["GET", "PUT"]))
    assert (error.err_code, error.status) == (405, 405)
    assert error.headers == {"Allow": "GET, PUT"}
    assert as_service_error(TooManyRequests(retry_after=3)).headers == {"Retry-After": "3"}
    assert str(as_service_error(NotFound())) == "not found"


@pytest.mark.parametrize("error", [ValueError("x"), ServiceError("x"), KeyboardInterrupt()])
def test_everything_else_is_a_server_error(error: BaseException) -> None:
    assert (type(as_service_error(error)), str(as_service_error(error))) == (
        ServiceError,
        "server error",
    )


def test_a_subclass_is_facts() -> None:
    class SoldOutError(errors.ProcessError):
        """Nothing is left."""

        err_code, status, message = -31, 409, "sold out"

    assert as_service_error(error := SoldOutError()) is error
    assert str(error) == "sold out"
