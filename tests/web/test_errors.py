"""The error tree and its table."""

import re
from typing import TypeGuard

import pytest
from werkzeug.exceptions import MethodNotAllowed, NotFound, TooManyRequests

from tests.support.service import ROOT
from utils import errors
from utils.errors import ServiceError, as_service_error

ROW = re.compile(r"^\| (-?\d+) \| (\d+) \| (.+?) \|$", re.MULTILINE)


def test_the_table_in_the_readme_is_the_tree() -> None:
    rows = ROW.findall((ROOT / "README.md").read_text())
    tree = [cls for cls in vars(errors).values() if has_a_code(cls)]
    told = [(str(cls.err_code), str(cls.status), words(cls)) for cls in tree]
    assert [(code, status, when.lower()) for code, status, when in rows] == [
        ("0", "200", "ok"),
        *told,
    ]


def has_a_code(value: object) -> TypeGuard[type[ServiceError]]:
    """Tell whether this is an error class with a code of its own; HTTP's have the status."""
    return (
        isinstance(value, type)
        and issubclass(value, ServiceError)
        and not issubclass(value, errors.HTTPError)
    )


def words(cls: type[ServiceError]) -> str:
    """Return what a class says of itself, as the table does."""
    return " ".join((cls.__doc__ or "").split()).rstrip(".").lower()


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
