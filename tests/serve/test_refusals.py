"""What HTTP refuses before the application sees it: an envelope, and a log line that says why."""

import pytest

from tests.support.service import Service
from tests.support.wire import HEAD, reply

MANY = b"".join(b"X-%d: y\r\n" % number for number in range(200))


@pytest.mark.parametrize(
    ("data", "status", "logged"),
    [
        (b"nonsense\r\n\r\n", 400, "'nonsense'"),
        (b"GET\r\n\r\n", 400, "'GET'"),
        (b"POST /test HTTP/3.0\r\n\r\n", 400, "(3, 0)"),
        (b"po?st /test HTTP/1.1\r\nHost: x\r\n\r\n", 400, "'po?st'"),
        (b"POST /te st HTTP/1.1\r\nHost: x\r\n\r\n", 400, "'st HTTP/1.1'; POST /te"),
        (b"POST /t\xc3\xa4st HTTP/1.1\r\nHost: x\r\n\r\n", 400, "POST /t"),
        (b"POST /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "too large (5015 > 4094)"),
        (b"POST /" + b"x" * 2_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "too large"),
        (HEAD + b"no colon\r\n\r\n", 400, "'no colon'; POST /test"),
        (HEAD + b"Na me: x\r\n\r\n", 400, "'Na me'; POST /test"),
        (HEAD + b"Name: a\x00b\r\n\r\n", 400, r"'NAME'; POST /test; with '\x00' in its value"),
        (HEAD + b"Name: x\r\n folded\r\n\r\n", 400, "folding is unacceptable: 'NAME'"),
        (HEAD + b"Name: " + b"x" * 9000 + b"\r\n\r\n", 431, "the longest 'Name' of 9006 bytes"),
        (HEAD + b"Name: " + b"x" * 2_000_000 + b"\r\n\r\n", 431, "max buffer headers; POST /test"),
        (HEAD + MANY + b"\r\n", 431, "201 fields"),
        (HEAD + b"Host: y\r\n\r\n", 400, "'HOST'; POST /test; 2 times: 'x', 'y'"),
        (HEAD + b"Content-Length: x\r\n\r\n", 400, "'CONTENT-LENGTH'; POST /test; 1 times: 'x'"),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400, "1 times: '-1'"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400, "2 times: '1', '1'"),
        (
            HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "'CONTENT-LENGTH'; POST /test; 1 times: '1'",
        ),
        (HEAD + b"Transfer-Encoding: snail\r\n\r\n", 400, "'snail'; POST /test"),
        (
            HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
            400,
            "'TRANSFER-ENCODING'; POST /test; 1 times",
        ),
        (HEAD + b"Expect: miracles\r\n\r\n", 417, "'miracles'; POST /test"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_what_http_refuses_is_an_envelope(
    running: Service, data: bytes, status: int, logged: str
) -> None:
    answer = reply(running, data, half_close=True)
    envelope = answer.envelope
    assert (answer.status, envelope["err_code"], envelope["data"]) == (status, status, None)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Request-ID"] == envelope["uuid"]
    assert answer.headers["Connection"] == "close"
    (line,) = (line for line in running.log().splitlines() if envelope["uuid"] in line)
    assert f" {status} {status} - 127.0.0.1 {envelope['err_msg']}: " in line
    assert logged in line


def test_a_refusal_does_not_log_what_may_be_secret(running: Service) -> None:
    data = HEAD + b"Authorization: Bearer secret\x01\r\nCookie: a=secret\r\n\r\n"
    envelope = reply(running, data, half_close=True).envelope
    (line,) = (line for line in running.log().splitlines() if envelope["uuid"] in line)
    assert "'AUTHORIZATION'" in line
    assert "secret" not in line


@pytest.mark.parametrize("host", [b"", b"Host: a b\r\n"])
def test_a_host_that_is_none_is_refused(running: Service, host: bytes) -> None:
    answer = reply(running, b"POST /test HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n")
    assert (answer.status, answer.envelope["err_code"]) == (400, 400)


@pytest.mark.parametrize(
    "header", ["SCRIPT_NAME: /x", "X-Forwarded-Prefix: /x", "X_Request_ID: x", "PATH_INFO: /x"]
)
def test_headers_that_only_a_proxy_may_set_are_not_believed(running: Service, header: str) -> None:
    data = HEAD + header.encode() + b"\r\nConnection: close\r\nContent-Length: 14\r\n\r\n"
    answer = reply(running, data + b'{"order_id":1}')
    assert answer.status == 200
    assert answer.headers["X-Request-ID"] != "x"
