"""What a call sends and reads: JSON, forms, bytes."""

from typing import Any

import msgspec
import pytest
from urllib3 import encode_multipart_formdata

from tests.support.faulty import Faulty
from utils.errors import UnavailableError
from utils.http import Upstream, UpstreamResponse

FORM = "application/x-www-form-urlencoded"


class Echo(msgspec.Struct):
    id: str


def test_a_call_sends_json_and_reads_json(faulty: Faulty, upstream: Upstream) -> None:
    response = upstream.post("/echo/7", json={"count": 2}, params={"q": "a&b"}, headers={"A": "1"})
    assert isinstance(response, UpstreamResponse)
    assert (response.status, response.headers["content-length"]) == (200, "11")
    assert response.decode(Echo) == Echo("7")
    assert response.decode() == {"id": "7"}
    (request,) = faulty.requests
    assert (request.method, request.target) == ("POST", "/echo/7?q=a%26b")
    assert (request.body, request.headers["content-type"]) == (b'{"count":2}', "application/json")
    assert request.headers["a"] == "1"


@pytest.mark.parametrize(
    ("body", "sent", "content_type"),
    [
        ({}, b"", None),
        ({"json": None}, b"null", "application/json"),
        ({"json": Echo("7")}, b'{"id":"7"}', "application/json"),
        ({"data": {}}, b"", FORM),
        ({"data": {"grant_type": "client_credentials"}}, b"grant_type=client_credentials", FORM),
        ({"data": {"a b": "c&d=e", "订": "单"}}, b"a+b=c%26d%3De&%E8%AE%A2=%E5%8D%95", FORM),
        ({"data": {"id": [1, 2], "n": 3}}, b"id=1&id=2&n=3", FORM),
        ({"data": [("a", "1"), ("a", "2")]}, b"a=1&a=2", FORM),
        ({"data": {"a": "1"}.items()}, b"a=1", FORM),
        ({"content": b"\x00\xff"}, b"\x00\xff", "application/octet-stream"),
        ({"content": bytearray(b"x")}, b"x", "application/octet-stream"),
        ({"content": b""}, b"", "application/octet-stream"),
        ({"content": "<订/>"}, "<订/>".encode(), "application/octet-stream"),
    ],
)
def test_a_body_is_sent_with_its_type(
    faulty: Faulty, upstream: Upstream, body: Any, sent: bytes, content_type: str | None
) -> None:
    upstream.post("/echo/1", **body)
    (request,) = faulty.requests
    assert (request.body, request.headers.get("content-type")) == (sent, content_type)
    assert request.headers["content-length"] == str(len(sent))
    assert "transfer-encoding" not in request.headers


@pytest.mark.parametrize("name", ["Content-Type", "content-type", "CONTENT-TYPE"])
@pytest.mark.parametrize("body", [{"json": 1}, {"data": {"a": 1}}, {"content": b"<a/>"}])
def test_a_type_of_the_caller_replaces_ours(
    faulty: Faulty, upstream: Upstream, name: str, body: Any
) -> None:
    upstream.post("/echo/1", headers={name: "text/xml"}, **body)
    assert faulty.requests[0].headers["content-type"] == "text/xml"


@pytest.mark.parametrize(
    "bodies",
    [
        {"json": None, "data": {}},
        {"json": 1, "content": b""},
        {"data": {"a": 1}, "content": b"x"},
        {"json": 1, "data": {"a": 1}, "content": b"x"},
    ],
)
def test_two_bodies_are_refused(faulty: Faulty, upstream: Upstream, bodies: Any) -> None:
    with pytest.raises(ValueError, match="expected one of json, data and content"):
        upstream.post("/echo/1", **bodies)
    assert faulty.connections == 0


@pytest.mark.parametrize(
    "body",
    [
        {"json": object()},
        {"data": "a=1"},
        {"data": b"a=1"},
        {"data": 5},
        {"content": 5},
        {"content": {"a": 1}},
        {"content": open},
        {"content": "\ud800"},
    ],
)
def test_a_body_that_cannot_be_sent_is_the_caller_s_fault(
    faulty: Faulty, upstream: Upstream, body: Any
) -> None:
    with pytest.raises((ValueError, TypeError)):
        upstream.post("/echo/1", **body)
    assert faulty.connections == 0


def test_a_file_is_sent_as_multipart_by_urllib3(faulty: Faulty, upstream: Upstream) -> None:
    body, content_type = encode_multipart_formdata({"file": ("a.csv", b"1;2")})
    upstream.post("/echo/1", content=body, headers={"Content-Type": content_type})
    (request,) = faulty.requests
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="file"; filename="a.csv"' in request.body


def test_a_zipped_response_is_unzipped(upstream: Upstream) -> None:
    assert upstream.get("/zipped").decode() == {"id": "z"}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'"\xff"', b"[" * 1_000_000, b'{"id":1}'])
def test_a_response_that_is_something_else_makes_the_upstream_unavailable(body: bytes) -> None:
    with pytest.raises(UnavailableError, match=r"^warehouse sent an invalid response$"):
        UpstreamResponse("warehouse", 200, {}, body).decode(dict[str, str])


def test_a_body_is_whole_in_each_retry(faulty: Faulty, upstream: Upstream) -> None:
    upstream.put("/busy_twice/1", content=b"x")
    assert [request.body for request in faulty.requests] == [b"x", b"x", b"x"]
