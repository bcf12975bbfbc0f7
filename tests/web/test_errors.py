"""The error tree."""

import pytest
from werkzeug.exceptions import MethodNotAllowed, NotFound, TooManyRequests

from utils import errors
from utils.errors import ServiceError, as_service_error


def test_an_error_of_werkzeug_keeps_its_status_and_headers() -> None:
    error = as_service_error(MethodNotAllowed(["GET", "PUT"]))
    assert (error.err_code, error.status) == (405, 405)
    assert error.headers == {"Allow": "GET, PUT"}
    assert as_service_error(TooManyRequests(retry_after=3)).headers == {"Retry-After": "3"}
    assert str(as_service_error(NotFound())) == "not found"


@pytest.mark.parametrize("error", [ValueError("x"), ServiceError("x"), KeyboardInterrupt()])
def test_any_other_error_is_a_server_error_without_details(error: BaseException) -> None:
    assert (type(as_service_error(error)), str(as_service_error(error))) == (
        ServiceError,
        "server error",
    )


def test_an_error_of_your_own_is_a_code_a_status_and_a_message() -> None:
    class SoldOutError(errors.ProcessError):
        """Nothing is left."""

        err_code, status, message = -31, 409, "sold out"

    assert as_service_error(error := SoldOutError()) is error
    assert str(error) == "sold out"
