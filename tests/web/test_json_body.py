"""The body of a request for an api class: JSON, whatever else is said of it."""

import pytest
from werkzeug.test import Client

from tests.support.envelopes import ORDER, envelope, post


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_the_body_is_json_whatever_its_type(client: Client, content_type: str) -> None:
    assert post(client, content_type=content_type).status_code == 200


@pytest.mark.parametrize(
    ("body", "err_code", "reason"),
    [
        (b"", -2, "no body"),
        (b" ", -2, "not JSON"),
        (b"order", -2, "not JSON"),
        (b'{"order_id":1', -2, "not JSON"),
        (b'{"order_id":1}x', -2, "not JSON"),
        (b'{"order_id":NaN}', -2, "not JSON"),
        (b'{"order_id":1,"note":NaN}', -2, "not JSON"),
        (b'{"order_id":1,"note":"\\ud800"}', -2, "not JSON"),
        (b'{"order_id":1,"note":"\xff"}', -2, "not JSON"),
        (b'\xef\xbb\xbf{"order_id":1}', -2, "not JSON: it begins with a byte order mark (BOM)"),
        ('{"order_id":1}'.encode("utf-16"), -2, "byte order mark (BOM)"),
        (b"\xfe\xff" + '{"order_id":1}'.encode("utf-16-be"), -2, "byte order mark (BOM)"),
        ('{"order_id":1}'.encode("utf-32"), -2, "byte order mark (BOM)"),
        ("\ufeff".encode(), -2, "byte order mark (BOM)"),
        ('{"order_id":1}'.encode("utf-16-le"), -2, "not JSON"),
        (b"[1]", -2, "not a JSON object"),
        (b"null", -2, "not a JSON object"),
        (b"[" * 100_000, -2, "not a JSON object"),
        (b'{"note":' + b"[" * 1_000_000, -2, "nested too deeply"),
        (b"{}", -4, "order_id: missing"),
        (b'{"order_id":12345.5}', -4, "order_id: expected int"),
        (b'{"order_id":true}', -4, "order_id: expected int"),
        (b'{"order_id":null}', -4, "order_id: expected int"),
        (b'{"order_id":""}', -4, "order_id: expected int"),
        (b'{"order_id":" 1"}', -4, "order_id: expected int"),
        (b'{"order_id":[1]}', -4, "order_id: expected int"),
        (b'{"order_id":{}}', -4, "order_id: expected int"),
        (b'{"order_id":0}', -4, "order_id: expected int >= 1"),
        (b'{"order_id":18446744073709551616}', -4, "order_id: the integer does not fit"),
        (b'{"order_id":"18446744073709551616"}', -4, "order_id: the integer does not fit"),
        (b'{"order_id":1e30}', -4, "order_id: "),
        (b'{"order_id":1e999}', -4, "order_id: number out of range"),
        (b'{"order_id":' + b"9" * 10_000 + b"}", -4, "order_id: "),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_unusable_body_is_refused(
    client: Client, body: bytes, err_code: int, reason: str
) -> None:
    response = post(client, body)
    answer = envelope(response)
    assert (response.status_code, answer["err_code"], answer["data"]) == (400, err_code, None)
    assert reason in answer["err_msg"]


@pytest.mark.parametrize(
    ("body", "order_id"),
    [
        (b'{"order_id":"12345"}', 12345),
        (b'{"order_id":1,"unknown":{"a":[1e999]}}', 1),
        (b'{"order_id":18446744073709551615}', 18446744073709551615),
        ('{"order_id":1,"note":"müßig 订单"}'.encode(), 1),
    ],
)
def test_a_usable_body_is_read(client: Client, body: bytes, order_id: int) -> None:
    assert envelope(post(client, body))["order_id"] == order_id


def test_a_body_over_the_limit_is_refused(client: Client) -> None:
    limit = 1 << 20
    assert post(client, ORDER + b" " * (limit - len(ORDER))).status_code == 200
    response = post(client, ORDER + b" " * limit)
    assert (response.status_code, envelope(response)["err_code"]) == (413, 413)
