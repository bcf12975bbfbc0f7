"""Upstreams that fail, and the client that has to cope with them."""

from collections.abc import Iterator

import pytest

from tests.support.faulty import Faulty
from utils.http import Upstream


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    server = Faulty()
    yield server
    server.stop()


@pytest.fixture
def upstream(faulty: Faulty) -> Iterator[Upstream]:
    """A client with limits that no busy machine exceeds; a test of a limit lowers it."""
    upstream = Upstream(
        "warehouse", faulty.url, connect_timeout=20, read_timeout=20, total_timeout=20
    )
    yield upstream
    upstream.session().close()
