"""Errors and logs say which upstream failed and how, and nothing of its URL."""

import logging
import traceback
from collections.abc import Iterator

import pytest

from tests.support.faulty import Faulty
from tests.support.http_proxy import HTTPProxy
from utils import log
from utils.dev.servers import free_port
from utils.errors import UnavailableError
from utils.http import Upstream


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged with the service's own setup, at any level."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("urllib3").level
    log.setup()
    root.addHandler(caplog.handler)
    caplog.set_level("DEBUG")
    yield caplog
    for handler in set(root.handlers) - set(before[0]):
        handler.close()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.getLogger("urllib3").setLevel(before[2])


def check(lines: pytest.LogCaptureFixture, error: BaseException, *secrets: object) -> None:
    told = lines.text + "".join(traceback.format_exception(error))
    for secret in ("password", "key=", "127.0.0.1", "http://", "https://", *secrets):
        assert str(secret) not in told
    assert [record.levelname for record in lines.records].count("WARNING") == 1


@pytest.mark.parametrize(
    "path",
    ["/hang", "/reset", "/cut", "/garbage", "/busy", "/big", "/redirect/302", "/echo/1"],
)
def test_a_failure_does_not_show_the_url(
    faulty: Faulty, path: str, lines: pytest.LogCaptureFixture
) -> None:
    faulty.location = "http://[password"
    url = faulty.url.replace("//", "//me:password@")
    upstream = Upstream("warehouse", url, total_timeout=1)
    with pytest.raises(UnavailableError) as raised:
        upstream.get(path, params={"key": "secret"}).decode(int)
    check(lines, raised.value, faulty.port)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_failure_does_not_show_the_proxy(scheme: str, lines: pytest.LogCaptureFixture) -> None:
    port = free_port()
    proxy = f"http://me:password@127.0.0.1:{port}"
    upstream = Upstream("warehouse", f"{scheme}://warehouse.example", proxy=proxy)
    with pytest.raises(UnavailableError, match="cannot be reached through its proxy") as raised:
        upstream.get("/echo/1")
    check(lines, raised.value, port, "warehouse.example", "bWU6")  # base64 of "me:"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_refusal_of_the_proxy_does_not_show_it(
    scheme: str, lines: pytest.LogCaptureFixture
) -> None:
    proxy = HTTPProxy("me", "another")
    address = f"http://me:password@{proxy.address}"
    upstream = Upstream("warehouse", f"{scheme}://warehouse.example", proxy=address)
    with pytest.raises(UnavailableError) as raised:
        upstream.get("/echo/1")
    check(lines, raised.value, proxy.server.server_port, "warehouse.example", "bWU6")
    proxy.server.stop()


def test_a_name_that_does_not_resolve_is_not_shown(lines: pytest.LogCaptureFixture) -> None:
    upstream = Upstream("warehouse", "https://me:password@warehouse.invalid", total_timeout=20)
    with pytest.raises(UnavailableError, match=r"^warehouse cannot be reached$") as raised:
        upstream.get("/echo/1")
    check(lines, raised.value, "invalid")


def test_a_call_is_logged_with_its_time(
    upstream: Upstream, lines: pytest.LogCaptureFixture
) -> None:
    upstream.get("/echo/1")
    (line,) = lines.messages
    assert line.startswith("warehouse: GET 200 ")
    assert line.endswith(" ms")


def test_a_failure_is_logged_with_its_causes(
    upstream: Upstream, lines: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnavailableError):
        upstream.post("/reset")
    assert lines.messages[0] == (
        "warehouse closed the connection early: "
        "ConnectionError < ProtocolError < ConnectionResetError"
    )
    assert lines.messages[1].startswith("warehouse: POST - ")


def test_a_fallback_logs_only_its_own_causes(
    upstream: Upstream, lines: pytest.LogCaptureFixture
) -> None:
    away = Upstream("away", f"http://127.0.0.1:{free_port()}", retries=0)
    with pytest.raises(UnavailableError, match="warehouse closed the connection early"):
        try:
            away.get("/echo/1")
        except UnavailableError:
            upstream.get("/cut")
    warnings = [each.message for each in lines.records if each.levelname == "WARNING"]
    assert warnings[1].endswith("ChunkedEncodingError < ProtocolError < IncompleteRead")


@pytest.mark.parametrize(
    "value", ["secret\n", "secret\r\nEvil: 1", "\0secret", " secret", "secret\x7f", "secret订"]
)
def test_a_header_that_cannot_be_sent_does_not_show_its_value(
    faulty: Faulty, upstream: Upstream, value: str
) -> None:
    with pytest.raises(ValueError, match="header 'Authorization' cannot be sent") as raised:
        upstream.get("/echo/1", headers={"Authorization": f"{value}"})
    told = "".join(traceback.format_exception(raised.value)).partition("Error: ")[2]
    assert "secret" not in told
    assert faulty.connections == 0


@pytest.mark.parametrize(
    ("url", "proxy", "told"),
    [
        ("http://me:password@warehouse.example", "", "warehouse"),
        ("http://token@10.0.0.1", "", "warehouse"),
        ("http://warehouse.example", "http://me:password@proxy.example:3128", "warehouse's proxy"),
        ("https://me:password@warehouse.example", "", ""),
        ("http://warehouse.example", "", ""),
        ("http://me:password@127.0.0.1", "", ""),
        ("http://me:password@[::1]:80", "", ""),
        ("http://me:password@localhost", "http://me:password@127.0.0.1:3128", ""),
    ],
)
def test_a_password_that_goes_to_another_host_unencrypted_is_told_once(
    caplog: pytest.LogCaptureFixture, url: str, proxy: str, told: str
) -> None:
    upstream = Upstream("warehouse", url, proxy=proxy)
    assert caplog.messages == []  # an import logs nothing
    upstream.session()
    upstream.session()
    expected = f"{told}: the password is sent unencrypted to another host"
    assert caplog.messages == ([expected] if told else [])
