"""The errors that a caller may see: one tree, in which a class is a row of the code table."""

from typing import ClassVar

from werkzeug.exceptions import HTTPException


class ServiceError(Exception):
    """Anything unforeseen; the client learns nothing else, the log has the traceback."""

    err_code: ClassVar[int] = -1
    status: ClassVar[int] = 500
    message: ClassVar[str] = "server error"
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)


class MalformedError(ServiceError):
    """The request cannot be read: no body, not JSON, not an object, truncated, too deep."""

    err_code, status, message = -2, 400, "malformed request"


class ProcessError(ServiceError):
    """The request is fine, the business refuses it; the api chooses the message."""

    err_code, status, message = -3, 422, "request refused"


class ParameterError(ServiceError):
    """A field is missing or has the wrong form; the message names the field."""

    err_code, status, message = -4, 400, "invalid parameter"


class UnavailableError(ServiceError):
    """Something the route needs is away or full: MySQL, Redis, an upstream."""

    err_code, status, message = -5, 503, "service unavailable"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class DeadlineError(ServiceError):
    """The request's deadline passed."""

    err_code, status, message = -6, 504, "deadline passed"


class OverloadError(ServiceError):
    """Too many requests are in flight."""

    err_code, status, message = -7, 503, "too many requests in flight"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class HTTPError(ServiceError):
    """A refusal of HTTP's own (404, 405, 413, ...): the status is the code."""

    err_code, status, message = 400, 400, "bad request"

    @classmethod
    def of(cls, status: int, message: str, headers: dict[str, str] | None = None) -> "HTTPError":
        """Return the refusal with any status."""
        error = cls(message)
        error.err_code = error.status = status  # type: ignore[misc]
        error.headers = headers or {}  # type: ignore[misc]
        return error


class NotFoundError(HTTPError):
    """There is no such thing."""

    err_code, status, message = 404, 404, "not found"


class ConflictError(HTTPError):
    """It was changed, or is there already."""

    err_code, status, message = 409, 409, "conflict"


# Libraries' errors that are one of ours; the module that uses a library adds them.
FOREIGN: dict[type[Exception], type[ServiceError]] = {}


def as_service_error(error: BaseException) -> ServiceError:
    """Return the error as one that a caller may see."""
    if isinstance(error, HTTPException) and error.code is not None:
        headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
        return HTTPError.of(error.code, error.name.lower(), headers)
    if isinstance(error, ServiceError) and error.err_code != ServiceError.err_code:
        return error
    return next((FOREIGN[cls] for cls in type(error).__mro__ if cls in FOREIGN), ServiceError)()
