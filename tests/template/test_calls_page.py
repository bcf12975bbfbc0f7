"""docs/calls.md: its examples run, its table of options is the signature."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

import api
from tests.support.faulty import Faulty
from tests.support.service import ROOT
from utils.http import Upstream

PAGE = (ROOT / "docs/calls.md").read_text()
NAMING, REQUESTS, TESTS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    server = Faulty()
    yield server
    server.stop()


def run(faulty: Faulty, *blocks: str) -> dict[str, Any]:
    names: dict[str, Any] = {"Upstream": Upstream, "Struct": msgspec.Struct}
    for block in blocks:
        exec(block.replace("http://127.0.0.1:8080", faulty.url), names)
    return names


def test_the_first_example_reads_a_stock(faulty: Faulty) -> None:
    assert run(faulty, NAMING)["stock"].id == "green%2Ftea"
    assert faulty.requests[0].target == "/stock/green%2Ftea"


def test_each_example_sends_what_it_says(faulty: Faulty) -> None:
    run(faulty, NAMING, REQUESTS)
    sent = [
        (request.method, request.target, request.headers.get("content-type"), request.body)
        for request in faulty.requests[1:]
    ]
    form = "application/x-www-form-urlencoded"
    assert sent == [
        ("GET", "/stock?page=2", None, b""),
        ("POST", "/orders", "application/json", b'{"item":"tea"}'),
        ("POST", "/token", form, b"grant_type=client_credentials"),
        ("POST", "/soap", "text/xml", b"<a/>"),
        ("OPTIONS", "/", None, b""),
    ]


def test_the_example_of_a_test_runs(faulty: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    called = 'assert __import__("api").warehouse.get("/stock/tea").decode() == {"id": "tea"}'
    names = run(faulty, TESTS.replace("...  #", f"{called}  #"))
    monkeypatch.setattr(api, "warehouse", None, raising=False)
    test: Callable[..., None] = names["test_stock_is_read"]
    test(monkeypatch)


def test_the_table_has_each_option_with_its_default() -> None:
    told = re.findall(r"^\| `(\w+)` \| (.+?) \|", PAGE, re.MULTILINE)
    options = list(inspect.signature(Upstream).parameters.values())[2:]
    assert told == [(each.name, str(each.default) or '""') for each in options]
