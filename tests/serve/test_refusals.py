"""What HTTP refuses before the application sees it: an envelope, and a log line that says why."""

import pytest

from tests.support.service import Service
from tests.support.wire import HEAD, Client, reply

MANY = b"".join(b"X-%d: y\r\n" % number for number in range(200))


@pytest.mark.parametrize(
    ("data", "status", "logged"),
    [
        (b"nonsense\r\n\r\n", 400, "Invalid HTTP request line"),
        (b"GET\r\n\r\n", 400, "Invalid HTTP request line"),
        (b"POST /test HTTP/3.0\r\n\r\n", 400, "Invalid HTTP Version; POST /test"),
        (b"GET /status=200 HTTP/3.0\r\n\r\n", 400, r"Version; GET /status\x3d200"),
        (b"po?st /test HTTP/1.1\r\nHost: x\r\n\r\n", 400, "Invalid HTTP method"),
        (b"POST /te st HTTP/1.1\r\nHost: x\r\n\r\n", 400, "Invalid HTTP Version"),
        (b"POST /t\xc3\xa4st HTTP/1.1\r\nHost: x\r\n\r\n", 400, "Invalid HTTP request line"),
        (b"POST /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "too large (5015 > 4094)"),
        (b"POST /" + b"x" * 2_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "too large"),
        (HEAD + b"no colon\r\n\r\n", 400, "Header; POST /test; line 2 of the head"),
        (HEAD + b"Na me: x\r\n\r\n", 400, "header name; POST /test; line 2 of the head"),
        (HEAD + b"Name: a\x00b\r\n\r\n", 400, r"NAME, 1 times, with '\x00' in its value"),
        (HEAD + b"Name: x\r\n folded\r\n\r\n", 400, "folding is unacceptable; POST /test; NAME"),
        (HEAD + b"Name: " + b"x" * 9000 + b"\r\n\r\n", 431, "the longest NAME of 9006 bytes"),
        (HEAD + b"Name: " + b"x" * 2_000_000 + b"\r\n\r\n", 431, "max buffer headers; POST /test"),
        (HEAD + MANY + b"\r\n", 431, "201 fields"),
        (HEAD + b"Host: y\r\n\r\n", 400, "POST /test; HOST, 2 times"),
        (HEAD + b"Content-Length: x\r\n\r\n", 400, "POST /test; CONTENT-LENGTH, 1 times"),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400, "CONTENT-LENGTH, 1 times"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400, "LENGTH, 2 times"),
        (
            HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "POST /test; CONTENT-LENGTH, 1 times",
        ),
        (HEAD + b"Transfer-Encoding: snail\r\n\r\n", 400, "transfer coding; POST /test"),
        (
            HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
            400,
            "POST /test; TRANSFER-ENCODING, 1 times",
        ),
        (HEAD + b"Expect: miracles\r\n\r\n", 417, "comply with expectation; POST /test"),
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
    assert answer.headers["Cache-Control"] == "no-store"
    (line,) = (line for line in running.log().splitlines() if envelope["uuid"] in line)
    assert f" {status} {status} - 127.0.0.1 {envelope['err_msg']}: " in line
    assert logged in line


SECRETS = [
    HEAD + b"Authorization: Bearer secret\x01\r\nCookie: a=secret\r\n\r\n",
    HEAD + b"Authorization: Bearer\r\nsecret\r\n\r\n",
    HEAD + b"Authorization: Bearer\r\nsecret:\r\n\r\n",
    HEAD + b"Authorization: Bearer\r\n secret\r\n\r\n",
    HEAD + b"Authorization: Bearer\r\nuser secret: x\r\n\r\n",
    HEAD + b"Authorization: Bearer\r\n:secret\r\n\r\n",
    HEAD + b"Authorization: Bearer\nsecret\r\n\r\n",
    HEAD + b"Cookie: secret\r\nCookie\xe4: secret\r\n\r\n",
    HEAD + b"X: " + b"secret" * 2000 + b"\r\n\r\n",
    HEAD + b"secret" * 2000 + b"\r\n\r\n",
    HEAD + b"Content-Length: secret\r\n\r\n",
    HEAD + b"Transfer-Encoding: secret\r\n\r\n",
    HEAD + b"Expect: secret\r\n\r\n",
    HEAD + b"Host: user:secret@x\r\n\r\n",
    HEAD.replace(b"x", b"user:secret@x") + b"Connection: close\r\n\r\n",
    b"secret\r\n\r\n",
    b"secret /test HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST secret HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /test?a=secret secret HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /test?a=secret\xe4 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /test?a=secret HTTP/1.secret\r\nHost: x\r\n\r\n",
    b"POST /test?a=secret HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"POST /test?a=secret%FF HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"POST http://user:secret@x/test HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\nsecret\r\nsecret\r\n",
    HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nsecret\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("data", SECRETS, ids=lambda data: repr(data)[-40:])
def test_a_refusal_does_not_repeat_what_could_not_be_read(running: Service, data: bytes) -> None:
    answer = reply(running, data, half_close=True)
    assert answer.status >= 400
    lines = [line for line in running.log().splitlines() if answer.envelope["uuid"] in line]
    assert lines
    assert "secret" not in "".join(lines).lower() + answer.body.decode().lower()


def test_a_head_that_never_ends_is_refused_at_its_limit(running: Service) -> None:
    client = Client(running).send(HEAD + (b"X: " + b"y" * 2000 + b"\r\n") * 20)
    answer = client.reply()
    client.close()
    assert (answer.status, answer.envelope["err_code"]) == (431, 431)


@pytest.mark.parametrize("host", [b"", b"Host: a b\r\n"])
def test_an_invalid_host_is_refused(running: Service, host: bytes) -> None:
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
    assert "Server" not in answer.headers
