"""``bench api`` against a server of the test's own that answers what it is told to."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from bench.api_load.open_loop import ApiClient, OpenLoop
from bench.api_load.traffic import LOGIN, READS, Mix, Request, Traffic
from bench.commands import api
from bench.errors import BenchError
from bench.reporting.model import Report
from tests.helpers.waiting import eventually


@dataclass
class StubApi:
    """Answers with ``status`` once ``gate`` is open; ``seen`` are method, path, token, address."""

    status: int = 200
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        headers = request.headers
        self.seen.append(
            (request.method, request.path, headers.get("Authorization"), headers.get("X-Forwarded-For"))
        )
        await self.gate.wait()
        if request.path == "/metrics":
            return web.Response(text="# HELP x\nmediaserver_event_loop_lag_seconds 0.004\n")
        status = 200 if request.path.endswith("/login") else self.status
        return web.json_response({"success": True, "data": {"accessToken": "secret-token"}}, status=status)


@asynccontextmanager
async def stub_api(status: int = 200, *, is_open: bool = True) -> AsyncIterator[StubApi]:
    stub = StubApi(status)
    if is_open:
        stub.gate.set()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield stub
    finally:
        stub.gate.set()
        await runner.cleanup()


def values(report: Report) -> dict[str, float | None]:
    return {metric.name: metric.value for metric in report.metrics}


WORDS = [
    "--rate",
    "100",
    "--seconds",
    "1",
    "--login-share",
    "0.1",
    "--user-count",
    "100",
    "--room-count",
    "50",
]


@pytest.fixture(autouse=True)
def _short_warm_up(monkeypatch):
    monkeypatch.setattr(api, "WARM_UP_SECONDS", 0.1)


async def test_a_run_tells_latency_by_kind_and_the_servers_lag():
    async with stub_api() as stub:
        words = ["--url", stub.url, *WORDS, "--server-pid", str(os.getpid()), "--addresses", "100"]
        (report,) = await api.COMMAND.run_words(words)
    figures = values(report)
    assert figures["failed"] == 0
    assert figures["reads p99"] is not None and figures["login p50"] is not None
    assert figures["event loop lag, largest seen"] == 4.0
    assert figures["server CPU"] is not None
    assert any(token == "Bearer secret-token" for _, _, token, _ in stub.seen)
    assert len({address for *_, address in stub.seen}) > 50
    assert "secret" not in str(report)


async def test_errors_are_told_by_kind_and_status():
    async with stub_api(status=503) as stub:
        (report,) = await api.COMMAND.run_words(["--url", stub.url, *WORDS])
    assert values(report)["reads p99"] is None
    assert any(note.endswith("x room: 503") for note in report.notes)


async def test_arrivals_do_not_wait_for_answers():
    async with stub_api(is_open=False) as stub, ApiClient(stub.url) as client:
        running = asyncio.create_task(OpenLoop(client, lambda: Request("room", "GET", "/x"), 500).run(0.3))
        await eventually(lambda: len(stub.seen) > 50)
        assert not running.done()
        stub.gate.set()
        arrivals = await running
    assert len(arrivals.outcomes) == len(stub.seen)
    assert not arrivals.failures()


async def test_what_is_too_much_is_told_and_not_sent(monkeypatch):
    monkeypatch.setattr("bench.api_load.open_loop.MAX_WAITING", 5)
    async with stub_api(is_open=False) as stub, ApiClient(stub.url) as client:
        running = asyncio.create_task(OpenLoop(client, lambda: Request("room", "GET", "/x"), 500).run(0.2))
        await eventually(lambda: len(stub.seen) == 5)
        asyncio.get_running_loop().call_later(0.3, stub.gate.set)
        assert (await running).failures()["room", "not sent"] > 0


async def test_a_server_that_is_not_there_is_one_clear_error():
    with pytest.raises(BenchError, match="--url"):
        await api.COMMAND.run_words(["--url", "http://127.0.0.1:9", *WORDS])


def test_traffic_has_every_kind_in_its_share():
    traffic = Traffic(Mix(100, 50, 0.5), ["token"])
    kinds = [traffic.next().kind for _ in range(3000)]
    assert set(kinds) >= READS
    assert kinds.count(LOGIN) == pytest.approx(1500, rel=0.1)


def test_nobody_follows_somebody_who_is_signed_in():
    traffic = Traffic(Mix(100, 50, 0.0), ["token"] * 20)
    requests = [traffic.next() for _ in range(3000)]
    first = str(api.login_of(0).body["username"])
    assert first == "bench_000000"
    followed = {request.path for request in requests if request.kind == "follow"}
    assert followed and not any(f"-8000-{number:012x}" in path for path in followed for number in range(20))
