"""Bytes in a URL that are not UTF-8 are a 400, as they are in a body; what is UTF-8 is kept."""

from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import pytest
from werkzeug.routing import Map
from werkzeug.test import Client

import decorator
from decorator import expose
from server import Server
from tests.support.messages import exchange, post
from tests.support.service import Service
from utils.web import Envelope, Request, Response

NOT_UTF8 = ["%C4%E3", "%FF", "%80", "a%ffb", "%C3", "%C3%28", "%ED%A0%80", "%C0%AF", "%F4%90%80%80"]
UTF8 = [
    "a",
    "%E4%BD%A0",
    "%F0%9F%98%80",
    "m%C3%BC%C3%9Fig",
    "%25C4",
    "%EF%BB%BF",
    "%EF%BF%BD",
    "%00",
]


@pytest.fixture(autouse=True)
def routes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes with values in the path, queries, and redirects, beside those of nobody else."""
    monkeypatch.setattr(decorator, "url_map", Map(strict_slashes=False, merge_slashes=False))
    monkeypatch.setattr(decorator, "routes", {})

    def show(self: Server, request: Request, **path_params: str) -> Response:
        return Envelope(request.uuid, {}, [path_params, request.args.to_dict(flat=False)])

    added: list[tuple[str, str, dict[str, Any]]] = [
        ("text", "/text/<name>", {}),
        ("whole", "/path/<path:name>", {}),
        ("number", "/number/<int:name>", {}),
        ("slash", "/slash/<name>/", {"strict_slashes": True}),
        ("moved", "/moved/<name>", {"redirect_to": "/text/<name>"}),
        ("sized", "/sized/<name>", {"redirect_to": "/größe/<name>"}),
        ("away", "/away/<name>", {"redirect_to": "https://other.example/<name>"}),
    ]
    for name, rule, options in added:
        method: Any = lambda *args, **kwargs: show(*args, **kwargs)  # noqa: E731
        method.__name__ = name
        expose(rule, methods=["GET"], **options)(method)
        monkeypatch.setattr(Server, name, method, raising=False)


def get(client: Client, url: str) -> Any:
    """Send a GET; the client by itself would replace what is not UTF-8."""
    path, _, query = url.partition("?")
    environ = {"PATH_INFO": unquote_to_bytes(path).decode("latin-1"), "QUERY_STRING": query}
    return client.get("/", environ_overrides=environ)


@pytest.mark.parametrize("sent", NOT_UTF8)
@pytest.mark.parametrize(
    "form",
    [
        "/text/{}",
        "/path/a/{}/b",
        "/number/{}",
        "/slash/{}",
        "/slash/{}/",
        "/moved/{}",
        "/away/{}",
        "/nowhere/{}",
        "/{}",
        "/text/x?a={}",
        "/text/x?{}=a",
        "/text/x?{}",
        "/text/x?a=1&b={}&c=3",
        "/slash/x?a={}",
        "/moved/x?a={}",
        "/nowhere?a={}",
    ],
)
def test_what_is_not_utf8_is_refused(
    client: Client, caplog: pytest.LogCaptureFixture, form: str, sent: str
) -> None:
    caplog.set_level("INFO")
    response = get(client, form.format(sent))
    assert response.status_code == 400
    assert response.json["err_code"] == 400
    assert response.json["err_msg"] == "bad request"
    assert "the URL is not UTF-8: '/" in caplog.text


@pytest.mark.parametrize("sent", UTF8)
def test_what_is_utf8_is_taken(client: Client, sent: str) -> None:
    meant = unquote(sent)
    assert get(client, f"/text/{sent}").json["data"] == [{"name": meant}, {}]
    assert get(client, f"/text/x?{sent}={sent}").json["data"][1] == {meant: [meant]}


@pytest.mark.parametrize("sent", [text for text in UTF8 if text != "%00"])
def test_a_redirect_keeps_what_is_utf8(client: Client, sent: str) -> None:
    for url, location in [
        (f"/slash/{sent}?a={sent}", f"/slash/{sent}/?a={sent}"),
        (f"/slash/{sent}?a=\xe4\xbd\xa0", f"/slash/{sent}/?a=%E4%BD%A0"),
        (f"/moved/{sent}", f"/text/{sent}"),
        (f"/sized/{sent}", f"/gr%C3%B6%C3%9Fe/{sent}"),
        (f"/away/{sent}", f"https://other.example/{sent}"),
    ]:
        response = get(client, url)
        assert (response.status_code, response.json["err_code"]) == (308, 308)
        assert response.headers["Location"] == location


def test_a_url_over_the_wire_is_no_exception(reading: Service) -> None:
    for path in ("/test?a=%C4%E3", "/seen/%FF", "/seen?a=%FF"):
        status, _, envelope = exchange(reading, post(path, "Content-Length: 0"))
        assert (status, envelope["err_msg"]) == (400, "bad request")
        (line,) = [line for line in reading.log().splitlines() if envelope["uuid"] in line]
        assert "the URL is not UTF-8: '/" in line
    data = post("/seen?a=%E4", "Content-Length: 0").replace(b"%E4", b"%E4%BD%A0")
    status, headers, _ = exchange(reading, data)
    assert (status, headers["Location"]) == (308, "/seen/?a=%E4%BD%A0")
