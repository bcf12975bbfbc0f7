"""What gevent means for a library that knows asyncio only: what fails, and the way that works."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.service import Service

ROUTES = """
    @expose("/run/<int:together>", methods=["POST"])
    def run_plainly(self, request: Request, together: int) -> Response:
        import asyncio
        from utils.web import Envelope

        arrived.append(request)
        return Envelope(request.uuid, {}, asyncio.run(answer(together)))

    @expose("/thread/<int:together>", methods=["POST"])
    def run_in_thread(self, request: Request, together: int) -> Response:
        from utils.web import Envelope

        arrived.append(request)
        return Envelope(request.uuid, {}, run_async(answer(together)))


arrived = []


async def answer(together):
    import asyncio
    from utils.context import request_uuid

    while len(arrived) < together:
        await asyncio.sleep(0.01)
    return request_uuid.get()


def run_async(coroutine):
    import asyncio
    import contextvars
    import gevent

    context = contextvars.copy_context()
    return gevent.get_hub().threadpool.apply(context.run, (asyncio.run, coroutine))
"""


@pytest.fixture
def asynchronous(service: Service) -> Service:
    service.env["WORKERS"] = "1"
    service.add_to_server(ROUTES)
    service.sh("start", check=True)
    return service


def test_asyncio_runs_once_a_worker_or_in_threads(asynchronous: Service) -> None:
    def ask(path: str) -> tuple[int, bool]:
        status, envelope, _ = asynchronous.request(path)
        return status, envelope["data"] == envelope["uuid"]

    with ThreadPoolExecutor(8) as clients:
        assert sorted(clients.map(ask, ["/run/3"] * 3)) == [(200, True), (500, False), (500, False)]
    assert "asyncio.run() cannot be called from a running event loop" in asynchronous.log("error")
    asynchronous.sh("restart", check=True)
    with ThreadPoolExecutor(8) as clients:
        assert [*clients.map(ask, ["/thread/8"] * 8)] == [(200, True)] * 8
