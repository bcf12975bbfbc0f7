"""A body is kept: whoever reads it, in whatever order, sees all of it (signatures of webhooks)."""

import hashlib
import hmac
import io
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from werkzeug.test import Client, EnvironBuilder

from server import Server
from tests.support.readers import BYTES, PARSED, READERS
from utils.web import Request

JSON = b'{"order_id":12345,\n"note":"%s"}' % (b"x" * 100)
BINARY = b"\x00\xff\r\n" * 300
FORM = b"a=1&b=m%C3%BC%C3%9Fig"
BOUNDARY = "multipart/form-data; boundary=b"
MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\n\r\nfile\n\r\n--b--\r\n'
)
KINDS: list[tuple[str, bytes, dict[str, Any]]] = [
    ("application/json", JSON, {"get_json": {"order_id": 12345, "note": "x" * 100}}),
    ("application/octet-stream", BINARY, {"form": {}, "files": {}}),
    ("application/x-www-form-urlencoded", FORM, {"form": {"a": "1", "b": "müßig"}, "files": {}}),
    (BOUNDARY, MULTIPART, {"form": {"a": "1"}, "files": {"f": b"file\n"}}),
]


def make_request(body: bytes, content_type: str, chunked: bool = False) -> Request:
    environ = EnvironBuilder(
        method="POST", input_stream=io.BytesIO(body), content_type=content_type
    ).get_environ()
    if chunked:
        environ["wsgi.input_terminated"] = True
    else:
        environ["CONTENT_LENGTH"] = str(len(body))
    return Request(environ)


def expected(reader: str, body: bytes, parsed: dict[str, Any]) -> Any:
    """Return what a reader has to see."""
    if reader in PARSED:
        return parsed[reader]
    return body.decode(errors="replace").encode() if reader == "get_data_as_text" else body


ON_THE_STREAM = {"stream", "input_stream", "pieces", "lines", "readline", "readlines", "readinto"}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("content_type", "body", "parsed"), KINDS, ids=[k[0][:20] for k in KINDS])
def test_readers_in_any_order_see_the_whole_body(
    content_type: str, body: bytes, parsed: dict[str, Any], chunked: bool
) -> None:
    for order in permutations([*BYTES, *parsed], 2):
        if ON_THE_STREAM.issuperset(order):  # one file has one position
            continue
        request = make_request(body, content_type, chunked)
        for reader in (*order, "body"):
            seen = READERS[reader](request)
            assert seen == expected(reader, body, parsed), (order, reader)
        request.close()


@pytest.mark.parametrize("reader", BYTES)
def test_a_route_may_read_the_bytes_before_it_responds(
    client: Client, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    checked, respond = [], Server.respond

    def respond_if_signed(self: Server, api: Any, request: Request, **options: Any) -> Any:
        signature = hmac.new(b"key", READERS[reader](request), hashlib.sha256).hexdigest()
        checked.append(hmac.compare_digest(signature, request.headers["X-Signature"]))
        return respond(self, api, request, **options)

    monkeypatch.setattr(Server, "respond", respond_if_signed)
    signature = hmac.new(b"key", JSON, hashlib.sha256).hexdigest()
    response = client.post("/test", data=JSON, headers={"X-Signature": signature})
    assert (response.status_code, checked) == (200, [True])


def test_a_stream_has_one_position() -> None:
    request = make_request(JSON, "text/plain")
    assert request.stream.read(10) + request.stream.read() == JSON
    assert request.stream.read() == b""


@pytest.mark.parametrize("reader", [*(BYTES.keys() - {"body"}), "form", "files"])
def test_no_body_is_an_empty_one_for_all_but_json(reader: str) -> None:
    assert not READERS[reader](make_request(b"", "application/x-www-form-urlencoded"))


@pytest.fixture
def read_by(client: Client, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Any]]:
    """Send a body to a route that reads it in one way; return the status and the envelope."""

    def send(reader: str, body: bytes, **headers: str) -> tuple[int, Any]:
        monkeypatch.setattr(Server, "api_test", lambda _, request: READERS[reader](request))
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        response = client.post("/test", data=body, headers=sent)
        assert response.headers.get("Accept-Encoding") == (
            "identity" if response.status_code == 415 else None
        )
        return response.status_code, response.json

    return send


MULTI = {"Content_Type": BOUNDARY}
URLENCODED = {"Content_Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("reader", "body", "headers", "reason"),
    [
        ("get_json", b"{", {}, "not JSON"),
        ("get_json", b"[NaN]", {}, "not JSON"),
        ("get_json", b'"\xff"', {}, "not JSON"),
        ("get_json", b'\xef\xbb\xbf{"a":1}', {}, "byte order mark"),
        ("get_json", b"", {}, "no body"),
        ("form", b"a=\xff", URLENCODED, "the form cannot be read"),
        ("form", b"a=%FF", URLENCODED, "the form cannot be read"),
        ("form", b"%C4%E3=1", URLENCODED, "the form cannot be read"),
        ("form", MULTIPART, {"Content_Type": "multipart/form-data"}, "the form cannot be read"),
        ("files", MULTIPART, {"Content_Type": "multipart/form-data; boundary=\u00e4"}, "cannot be"),
        ("files", MULTIPART[:-20], MULTI, "the form cannot be read"),
        ("files", b"no part at all", MULTI, "the form cannot be read"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_cannot_be_parsed_is_malformed(
    read_by: Callable[..., tuple[int, Any]],
    reader: str,
    body: bytes,
    headers: dict[str, str],
    reason: str,
) -> None:
    status, envelope = read_by(reader, body, **headers)
    assert (status, envelope["err_code"]) == (400, -2)
    assert any(part in envelope["err_msg"] for part in reason.split("|"))


def test_get_json_wants_a_json_type_unless_forced() -> None:
    request = make_request(b"{", "application/json")
    assert request.get_json(silent=True) is None
    request = make_request(b"{}", "text/plain")
    assert request.get_json(silent=True) is None
    assert request.get_json(force=True) == {}


CODINGS = ["gzip", "br", "deflate", "zstd", "GZIP", "x-gzip", "identity, gzip", "gzip,identity"]


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("reader", ["body", "get_json", "form", "files"])
def test_a_compressed_body_is_a_415_for_readers_of_json_and_forms(
    read_by: Callable[..., tuple[int, Any]], reader: str, coding: str
) -> None:
    status, envelope = read_by(reader, b"\x1f\x8b", Content_Encoding=coding, **MULTI)
    assert (status, envelope["err_code"]) == (415, 415)
    assert envelope["err_msg"] == "unsupported media type"


@pytest.mark.parametrize("coding", CODINGS)
def test_an_api_class_gets_no_compressed_body(client: Client, coding: str) -> None:
    response = client.post("/test", data=b"\x1f\x8b", headers={"Content-Encoding": coding})
    assert response.status_code == 415
    assert response.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("coding", ["identity", "IDENTITY", "identity, identity", ""])
def test_identity_is_no_compression(client: Client, coding: str) -> None:
    sent = {"Content-Encoding": coding}
    assert client.post("/test", data=JSON, headers=sent).status_code == 200


def test_get_data_and_stream_return_a_compressed_body_as_it_was_sent() -> None:
    request = make_request(b"\x1f\x8b", "text/plain")
    request.environ["HTTP_CONTENT_ENCODING"] = "gzip"
    assert request.get_data() == request.stream.read() == request.data == b"\x1f\x8b"
