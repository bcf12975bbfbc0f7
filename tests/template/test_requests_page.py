"""docs/requests.md: its examples run as they are written, and its log lines have the real form."""

import hashlib
import hmac
import re
import textwrap
from collections.abc import Iterator

import pytest

from tests.support.messages import exchange, post, with_length
from tests.support.service import ROOT, Service
from tests.template.conftest import Clone

PAGE = (ROOT / "docs/requests.md").read_text()
AFTER, WEBHOOK, UPLOAD, TESTS, RUN_ASYNC = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
OWN_FIELD = re.findall(r"`(request\.log_fields.*?)`", PAGE)[0]
IMPORTS = """import asyncio
import contextvars
import hmac
import secrets
from pathlib import Path

import gevent

from conf.current import settings
from utils.errors import HTTPError
from utils.web import Envelope
"""
ASYNC_ROUTE = """
@expose("/slow", methods=["POST"])
def slow(self, request: Request) -> Response:
    return Envelope(request.uuid, {}, run_async(asyncio.sleep(0, "slept")))
"""
FIELD_ROUTE = f"""
@expose("/field", methods=["POST"])
def field(self, request: Request) -> Response:
    {OWN_FIELD}
    return Envelope(request.uuid, {{}})
"""


@pytest.fixture(scope="module")
def documented() -> Iterator[Service]:
    """A service with the routes of the page."""
    service = Service(WEBHOOK_KEY="secret")
    service.env["PHOTO_DIR"] = str(service.folder)
    service.edit("server.py", "from api import", f"{IMPORTS}from api import")
    for route in (AFTER, WEBHOOK, UPLOAD, ASYNC_ROUTE, FIELD_ROUTE):
        service.add_to_server(textwrap.indent(route, "    "))
    service.edit("server.py", "class Server(", f"{RUN_ASYNC}\n\nclass Server(")
    settings = "from typing import Annotated\n\nfrom conf.setting import Secret\n"
    service.edit("conf/settings.py", "from conf.groups", f"{settings}from conf.groups")
    service.edit(
        "conf/settings.py",
        '"""The service\'s settings: the template\'s, and yours."""',
        'webhook_key: Annotated[Secret, "key of the webhook"]\n'
        '    photo_dir: Annotated[str, "folder of the photos"]',
    )
    service.sh("start", check=True)
    yield service
    service.remove()


def test_the_webhook_checks_its_signature(documented: Service) -> None:
    order = b'{"order_id":7}'
    right = hmac.new(b"secret", order, hashlib.sha256).hexdigest()
    for signature, status in [(right, 200), (f"x{right}", 403), ("\xe4", 403), ("", 403)]:
        data = with_length("/webhooks/orders", order, f"X-Signature: {signature}")
        assert exchange(documented, data)[0] == status


def test_the_upload_is_saved(documented: Service) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="%s"; filename="a.jpg"\r\n\r\n'
    for name, status in [(b"photo", 200), (b"other", 400)]:
        body = head % name + b"x" * 5_000_000 + b"\r\n--b--\r\n"
        data = with_length("/photos", body, "Content-Type: multipart/form-data; boundary=b")
        got = exchange(documented, data)[0]
        assert got == status
        if status == 200:
            (saved,) = documented.folder.glob("*.jpg")
            assert saved.stat().st_size == 5_000_000


def test_the_thread_runs_a_coroutine(documented: Service) -> None:
    assert exchange(documented, post("/slow", "Content-Length: 0"))[2]["data"] == "slept"


def test_the_log_lines_are_those_of_the_page(documented: Service) -> None:
    shown = re.findall(r"^    (?:GET|POST) .*$", PAGE, re.MULTILINE)
    for line, data in zip(
        shown,
        [
            with_length("/test", b'{"order_id":7}'),
            post("/nowhere", "Content-Length: 0").replace(b"POST", b"GET"),
            post("/test", host="a b"),
        ],
        strict=True,
    ):
        envelope = exchange(documented, data)[2]
        logged = next(line for line in documented.log().splitlines() if envelope["uuid"] in line)
        words = line.split()
        words[4:6] = [r"[0-9.]+", r"127\.0\.0\.1"]
        assert re.search(" ".join(words) + "$", logged)


def test_the_header_is_on_every_answer(documented: Service) -> None:
    for path in ("/test", "/nowhere"):
        _, headers, envelope = exchange(documented, with_length(path, b'{"order_id":7}'))
        assert headers["Strict-Transport-Security"] == "max-age=31536000"
        assert headers["X-Request-ID"] == envelope["uuid"]


def test_the_log_line_has_the_field(documented: Service) -> None:
    uuid = exchange(documented, post("/field", "Content-Length: 0"))[2]["uuid"]
    (line,) = [line for line in documented.log().splitlines() if uuid in line]
    assert line.endswith(" 127.0.0.1 shop=7")


def test_the_tests_pass_in_a_clone(clone: Clone) -> None:
    folder = clone.root / "tests/shop"
    folder.mkdir()
    (folder / "test_orders.py").write_text(TESTS)
    assert "2 passed" in clone.sh("sh run.sh test tests/shop")
    clone.sh('"$VENV/bin/ruff" check tests/shop && "$VENV/bin/mypy" tests/shop')
