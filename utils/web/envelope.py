"""The envelope: the form of every response."""

from typing import Any

from werkzeug import Response

from utils.codec import encode
from utils.errors import ServiceError, clip

HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
MESSAGE = 200  # characters; what an error says may hold what a client sent


class Envelope(Response):
    """A JSON response: echoed fields, uuid, err_msg, err_code and data, in this order."""

    default_mimetype = "application/json"

    def __init__(
        self, uuid: str, echo: dict[str, Any], data: Any = None, error: ServiceError | None = None
    ) -> None:
        self.result = data
        self.err_code = error.err_code if error else 0
        self.err_msg = clip(str(error), MESSAGE) if error else "ok"
        self.detail = clip(error.detail, MESSAGE) if error else ""
        envelope = {
            **echo,
            "uuid": uuid,
            "err_msg": self.err_msg,
            "err_code": self.err_code,
            "data": data,
        }
        super().__init__(
            encode(envelope),
            status=error.status if error else 200,
            headers=HEADERS | error.headers if error else HEADERS,
        )
