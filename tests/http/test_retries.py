"""What may be sent again is, what may have been done already is not."""

import pytest

from tests.support.faulty import Faulty
from utils.errors import UnavailableError
from utils.http import Upstream


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_idempotent_request_is_sent_until_it_succeeds(
    faulty: Faulty, upstream: Upstream, method: str
) -> None:
    assert upstream.request(method, "/busy_twice/7").decode() == {"id": "7"}
    assert faulty.count("/busy_twice/7") == 3


@pytest.mark.parametrize("path", ["/busy", "/reset"])
@pytest.mark.parametrize("retries", [0, 1, 2])
def test_retries_are_counted(faulty: Faulty, path: str, retries: int) -> None:
    with pytest.raises(UnavailableError):
        Upstream("warehouse", faulty.url, total_timeout=20, retries=retries).get(path)
    assert faulty.count(path) == 1 + retries


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("path", ["/busy", "/reset", "/hang", "/cut", "/hang_up", "/garbage"])
def test_what_is_not_idempotent_is_sent_once(faulty: Faulty, method: str, path: str) -> None:
    upstream = Upstream("warehouse", faulty.url, read_timeout=0.3, total_timeout=20, retries=5)
    with pytest.raises(UnavailableError):
        upstream.request(method, path, json=1)
    assert faulty.count(path) == 1


def test_pauses_between_retries_can_be_switched_off(faulty: Faulty) -> None:
    """With them, 100 retries would take longer than the total time."""
    upstream = Upstream("warehouse", faulty.url, total_timeout=20, retries=100, backoff=0)
    with pytest.raises(UnavailableError, match="answered 503"):
        upstream.get("/busy")
    assert faulty.count("/busy") == 101


def test_what_took_too_long_is_not_asked_again(faulty: Faulty, upstream: Upstream) -> None:
    """Each service of a chain would triple what a caller in haste costs the last one."""
    with pytest.raises(UnavailableError, match="answered 504"):
        upstream.get("/status/504")
    assert faulty.count("/status/504") == 1


@pytest.mark.parametrize("status", [200, 204, 304, 400, 404, 409, 499])
def test_a_response_below_500_is_for_the_caller(upstream: Upstream, status: int) -> None:
    assert upstream.get(f"/status/{status}").status == status


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_every_method_is_sent_as_it_is(faulty: Faulty, upstream: Upstream, method: str) -> None:
    short = getattr(upstream, method.lower(), None)
    response = short("/echo/7") if short else upstream.request(method, "/echo/7")
    assert response.status == 200
    assert [request.method for request in faulty.requests] == [method]
