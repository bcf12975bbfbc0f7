"""The envelope, as every response has it."""

import json
from typing import Any

from werkzeug.test import Client, TestResponse

ORDER = b'{"order_id":12345}'
KEYS = ["uuid", "err_msg", "err_code", "data"]


def post(client: Client, body: bytes = ORDER, **options: Any) -> TestResponse:
    """Send an order to /test."""
    return client.post("/test", data=body, **options)


def envelope(response: TestResponse) -> dict[str, Any]:
    """Check what every envelope promises, and return it."""
    assert response.mimetype == "application/json"
    answer: dict[str, Any] = json.loads(response.data)
    assert [key for key in answer if key != "order_id"] == KEYS
    assert answer["uuid"] == response.headers["X-Request-ID"]
    return answer
