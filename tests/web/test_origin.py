"""Web pages: which may write, and which may read the answer."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from werkzeug.test import Client, TestResponse

from conf.current import settings
from conf.envfile import EnvFile
from conf.environ import SettingsError, load
from conf.settings import Settings
from server import Server
from tests.support.envelopes import ORDER, envelope
from utils.web import Request, Response, client, origin

SHOP, EVIL = "https://shop.example", "https://evil.example"


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Change settings for this test."""

    def clear() -> None:
        for cached in (origin.allowed_origins, client.is_trusted, client.trusted_networks):
            cached.cache_clear()

    def change(**values: str) -> None:
        changed = replace(settings, **values)
        monkeypatch.setattr(origin, "settings", changed)
        monkeypatch.setattr(client, "settings", changed)
        clear()

    yield change
    monkeypatch.undo()
    clear()


@pytest.fixture
def shop(configure: Callable[..., None]) -> None:
    """Allow the pages of a shop."""
    configure(allowed_origins=f" {SHOP}, capacitor://localhost ")


def send(client: Client, method: str = "POST", path: str = "/test", **headers: str) -> TestResponse:
    """Send an order with headers such as Sec_Fetch_Site."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"Host": "api.example", **named}
    peer = {"REMOTE_ADDR": "203.0.113.7"}
    return client.open(path, method=method, data=ORDER, headers=sent, environ_overrides=peer)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "nonsense"}, 403),
        ({"Origin": EVIL}, 403),
        ({"Origin": EVIL, "Sec_Fetch_Site": "none"}, 403),
        ({"Origin": EVIL, "Content_Type": "text/plain"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": SHOP}, 200),
        ({"Origin": SHOP, "Sec_Fetch_Site": "cross-site"}, 200),
        ({"Origin": "capacitor://localhost"}, 200),
        ({"Origin": f"{SHOP}, {EVIL}"}, 403),
        ({"Origin": f"{SHOP}.evil.example"}, 403),
        ({"Origin": f"{SHOP}:8443"}, 403),
        ({"Origin": "http://shop.example"}, 403),
        # Any name can be made to lead here; an address cannot.
        ({"Origin": "http://api.example"}, 403),
        ({"Origin": "http://rebound.example:10001", "Host": "rebound.example:10001"}, 403),
        ({"Origin": "http://127.0.0.1:10001", "Host": "127.0.0.1:10001"}, 200),
        ({"Origin": "http://localhost:10001", "Host": "localhost:10001"}, 200),
        ({"Origin": "http://[::1]:10001", "Host": "[::1]:10001"}, 200),
        ({"Origin": "http://127.0.0.1:3000", "Host": "127.0.0.1:10001"}, 403),
    ],
    ids=str,
)
def test_a_page_may_write_only_if_it_is_allowed(
    client: Client, shop: None, headers: dict[str, str], status: int
) -> None:
    response = send(client, **headers)
    assert (response.status_code, envelope(response)["err_code"]) == (
        status,
        0 if status == 200 else 403,
    )


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "LINK"])
def test_every_method_that_may_write_is_refused_and_no_other(client: Client, method: str) -> None:
    assert send(client, method, Origin=EVIL).status_code == 403
    for safe in ("GET", "HEAD", "OPTIONS"):
        assert send(client, safe, Origin=EVIL).status_code != 403


def test_the_log_says_which_page_was_refused(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    send(client, Origin=EVIL)
    send(client, Sec_Fetch_Site="same-site")
    assert caplog.messages[0].endswith(f"forbidden: a page of '{EVIL}', not in ALLOWED_ORIGINS")
    assert caplog.messages[1].endswith("forbidden: a same-site page, not in ALLOWED_ORIGINS")


def test_the_log_does_not_repeat_what_names_no_page(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for name in ("Origin", "Sec-Fetch-Site"):
        for value in ("secret", "https://me:secret@shop", "secret" * 1000, "secret status=200"):
            client.post("/test", json={"order_id": 1}, headers={name: value})
            assert caplog.messages[-1].endswith("forbidden: a page, not in ALLOWED_ORIGINS")


def test_a_page_of_the_service_behind_its_proxy_is_its_own(
    client: Client, configure: Callable[..., None]
) -> None:
    def status(peer: str) -> int:
        environ = {"wsgi.url_scheme": "https", "REMOTE_ADDR": peer}
        headers = {"Host": "api.example", "Origin": "https://api.example"}
        response = client.post("/test", data=ORDER, headers=headers, environ_overrides=environ)
        return response.status_code

    configure(trusted_proxies="10.0.0.1")
    assert (status("10.0.0.1"), status("10.0.0.2"), status("")) == (200, 403, 200)


@pytest.mark.parametrize("path", ["/test", "/nowhere"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_an_allowed_page_may_read_every_answer(
    client: Client, shop: None, method: str, path: str
) -> None:
    headers = send(client, method, path, Origin=SHOP).headers
    assert headers["Access-Control-Allow-Origin"] == SHOP
    assert "X-Request-ID" in headers["Access-Control-Expose-Headers"]
    assert headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize("sent", [{}, {"Origin": EVIL}, {"Origin": "null"}])
def test_no_other_page_may_read_an_answer_and_caches_know_it(
    client: Client, shop: None, sent: dict[str, str]
) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        headers = send(client, method, **sent).headers
        assert not [name for name, _ in headers if name.startswith("Access-Control")]
        assert headers["Vary"] == "Origin"


def test_a_preflight_is_told_the_methods_of_the_path(client: Client, shop: None) -> None:
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "x-a"}
    response = send(client, "OPTIONS", Origin=SHOP, **asked)
    headers = response.headers
    assert (response.status_code, envelope(response)["err_code"]) == (200, 0)
    assert headers["Access-Control-Allow-Origin"] == SHOP
    assert headers["Access-Control-Allow-Methods"] == headers["Allow"] == "OPTIONS, POST"
    assert headers["Access-Control-Allow-Headers"] == "*, Authorization"
    assert headers["Access-Control-Max-Age"] == "7200"


def test_a_service_without_pages_says_nothing_of_them(client: Client) -> None:
    headers = send(client, "OPTIONS", Origin=SHOP).headers
    assert "Vary" not in headers
    assert not [name for name, _ in headers if name.startswith("Access-Control")]


def test_an_envelope_is_not_kept_and_not_taken_for_a_page(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("/test", "/nowhere"):
        headers = send(client, path=path).headers
        assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == (
            "nosniff",
            "no-store",
        )

    def api_test(self: Server, request: Request) -> Response:
        response = self.done(request, None)
        response.headers["Cache-Control"] = "max-age=60"
        return response

    monkeypatch.setattr(Server, "api_test", api_test)
    assert send(client).headers.getlist("Cache-Control") == ["max-age=60"]


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "shop.example",
        "https://",
        "https://shop.example/",
        "https://Shop.example",
        "https://shop.example:443",
        "http://shop.example:80",
        "https://*.example",
        "https://user@shop.example",
        "https://b\u00fccher.example",
        "https://a.example https://b.example",
        "https://a.example;https://b.example",
    ],
)
def test_a_wrong_entry_stops_the_start(text: str) -> None:
    for entries in (text, f"{SHOP},{text}"):
        with pytest.raises(SettingsError, match=r"ALLOWED_ORIGINS in .*expected origins such as"):
            load(Settings, {"ALLOWED_ORIGINS": entries}, EnvFile({}, []))


def test_right_entries_are_taken() -> None:
    text = (
        "https://a.example, http://[::1]:3000,http://localhost:3000,https://xn--bcher-kva.example"
    )
    loaded: Any = load(Settings, {"ALLOWED_ORIGINS": text}, EnvFile({}, []))
    assert loaded.allowed_origins == text
