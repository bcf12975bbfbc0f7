"""The errors that a caller sees: one tree, in which a class is a row of the table of codes."""

from collections.abc import Mapping

from werkzeug.exceptions import BadRequestKeyError, HTTPException

Headers = Mapping[str, str] | None


class ServiceError(Exception):
    """An unexpected error: the client gets no details, the traceback is logged."""

    err_code = -1
    status = 500
    message = "server error"
    retry_after: int | None = None  # seconds
    undone = False  # whether it is certain that the step which failed has changed nothing

    def __init__(self, message: str = "", headers: Headers = None, *, detail: str = "") -> None:
        super().__init__(message or self.message)
        self.headers = dict(headers or {})
        self.detail = detail  # for the log alone: what was wrong, and with what
        if self.retry_after is not None:
            self.headers["Retry-After"] = str(self.retry_after)


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
    """Something the route needs is down or full: MySQL, Redis, an upstream."""

    err_code, status, message = -5, 503, "service unavailable"
    retry_after = 1


class DeadlineError(ServiceError):
    """The request's deadline passed."""

    err_code, status, message = -6, 504, "deadline passed"


class NotBegunError(DeadlineError):
    """The request's deadline passed before the step that comes next."""

    undone = True


class OverloadError(ServiceError):
    """Too many requests are in flight."""

    err_code, status, message = -7, 503, "too many requests in flight"
    retry_after = 1


class HTTPError(ServiceError):
    """A refusal of HTTP's own (404, 405, 413, ...): the status is the code."""

    err_code, status, message = 400, 400, "bad request"

    def __init__(
        self, message: str = "", headers: Headers = None, status: int = 0, *, detail: str = ""
    ) -> None:
        super().__init__(message, headers, detail=detail)
        if status:
            self.err_code = self.status = status


class NotFoundError(HTTPError):
    """Raise if the resource does not exist."""

    err_code, status, message = 404, 404, "not found"


class ConflictError(HTTPError):
    """Raise if the resource was changed meanwhile, or exists already."""

    err_code, status, message = 409, 409, "conflict"


def as_service_error(error: BaseException) -> ServiceError:
    """Return the error as one that a caller may see."""
    if isinstance(error, HTTPException) and error.code is not None:
        headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
        return HTTPError(error.name.lower(), headers, error.code, detail=detail_of(error))
    if isinstance(error, ServiceError) and error.err_code != ServiceError.err_code:
        return error
    return ServiceError()


def detail_of(error: HTTPException) -> str:
    """Return what the raiser of werkzeug's error said beyond the text of its class."""
    if isinstance(error, BadRequestKeyError):
        return f"no parameter {error.args[0]!r}" if error.args else ""
    if error.description == type(error).description:
        return ""
    return error.description or ""


def clip(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}..."


def shorten(text: str) -> str:
    """Return what a client sent as it may stand in a message: quoted, escaped, and not long."""
    return ascii(clip(text, 40))
