"""The filter outside: what it says, and what happens when it says nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chat.moderation.external import (
    FilterAction,
    FilterFailure,
    FilterOptions,
    Guarded,
    Question,
    Verdict,
)
from chat.moderation.http_filter import HttpFilter
from tests.helpers.waiting import eventually

QUESTION = Question(UUID(int=1), UUID(int=2), "alice", "hello 😀")
OPEN = FilterOptions(failures=2, pause_seconds=10)
CLOSED = FilterOptions(failures=2, pause_seconds=10, is_open=False)
ALLOWED = Verdict(FilterAction.ALLOW)
HELD = Verdict(FilterAction.HOLD, "filter_unavailable")
REFUSED = Verdict(FilterAction.REFUSE, "spam")


@dataclass
class FakeFilter:
    """Says ``answer``, or raises it. Waits for ``gate`` when there is one."""

    answer: Verdict | Exception = REFUSED
    gate: asyncio.Event | None = None
    asked: int = 0

    async def check(self, _question: Question) -> Verdict:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class FakeClock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("action", FilterAction)
async def test_the_verdict_is_passed_on(action: FilterAction) -> None:
    assert await Guarded(FakeFilter(Verdict(action, "why"))).check(QUESTION) == Verdict(action, "why")


async def test_a_reason_is_made_fit_to_show() -> None:
    reason = "a\0b\n\ud800" + "x" * 999
    verdict = await Guarded(FakeFilter(Verdict(FilterAction.HOLD, reason))).check(QUESTION)
    assert verdict.reason.startswith("a b  x")
    assert len(verdict.reason) <= 200


@pytest.mark.parametrize(("options", "expected"), [(OPEN, ALLOWED), (CLOSED, HELD)])
@pytest.mark.parametrize("error", [FilterFailure("away"), ZeroDivisionError(), TimeoutError()])
async def test_a_failure_is_decided_by_the_option(
    options: FilterOptions, expected: Verdict, error: Exception
) -> None:
    assert await Guarded(FakeFilter(error), options).check(QUESTION) == expected


@pytest.mark.parametrize(("is_open", "expected"), [(True, ALLOWED), (False, HELD)])
async def test_it_does_not_wait_for_long(is_open: bool, expected: Verdict) -> None:
    slow = FakeFilter(gate=asyncio.Event())
    options = FilterOptions(timeout_seconds=0.01, is_open=is_open)
    assert await Guarded(slow, options).check(QUESTION) == expected


async def test_few_are_asked_at_once() -> None:
    slow = FakeFilter(gate=asyncio.Event())
    guarded = Guarded(slow, FilterOptions(timeout_seconds=60, at_once=2))
    waiting = [asyncio.create_task(guarded.check(QUESTION)) for _ in range(2)]
    await eventually(lambda: slow.asked == 2)
    assert await guarded.check(QUESTION) == ALLOWED
    assert slow.gate is not None
    slow.gate.set()
    assert await asyncio.gather(*waiting) == [REFUSED, REFUSED]
    assert await guarded.check(QUESTION) == REFUSED


async def test_after_some_failures_it_is_left_alone() -> None:
    clock, broken = FakeClock(), FakeFilter(FilterFailure("away"))
    guarded = Guarded(broken, CLOSED, clock)
    for _ in range(5):
        assert await guarded.check(QUESTION) == HELD
    assert broken.asked == 2
    clock.now = 10.0
    for _ in range(5):
        assert await guarded.check(QUESTION) == HELD
    assert broken.asked == 3
    clock.now = 20.0
    broken.answer = REFUSED
    for _ in range(5):
        assert await guarded.check(QUESTION) == REFUSED
    assert broken.asked == 8


async def test_one_message_tries_whether_it_is_back() -> None:
    clock, fake = FakeClock(), FakeFilter(FilterFailure("away"))
    guarded = Guarded(fake, FilterOptions(failures=1, timeout_seconds=60), clock)
    await guarded.check(QUESTION)
    clock.now, fake.gate = 10.0, asyncio.Event()
    trying = asyncio.create_task(guarded.check(QUESTION))
    await eventually(lambda: fake.asked == 2)
    assert await guarded.check(QUESTION) == ALLOWED
    fake.answer = REFUSED
    fake.gate.set()
    assert await trying == REFUSED
    assert await guarded.check(QUESTION) == REFUSED


async def test_who_gives_up_leaves_the_place_to_others() -> None:
    slow = FakeFilter(gate=asyncio.Event())
    guarded = Guarded(slow, FilterOptions(timeout_seconds=60, at_once=1))
    asking = asyncio.create_task(guarded.check(QUESTION))
    await eventually(lambda: slow.asked)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    slow.gate = None
    assert await guarded.check(QUESTION) == REFUSED


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Classifier:
    """Keeps what it was asked, and answers with ``body``."""

    body: bytes = b'{"action": "refuse", "reason": "spam"}'
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[Any, str | None]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((json.loads(await request.read()), request.headers.get("Authorization")))
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@asynccontextmanager
async def serving(handler: Handler, token: str | None = None) -> AsyncIterator[HttpFilter]:
    app = web.Application()
    app.router.add_post("/check", handler)
    async with TestServer(app) as server, HttpFilter(str(server.make_url("/check")), token) as found:
        yield found


async def test_it_is_asked_over_http() -> None:
    classifier = Classifier()
    async with serving(classifier.handle, "secret") as http_filter:
        assert await http_filter.check(QUESTION) == REFUSED
        classifier.body = b'{"action": "allow", "score": 0.1}'
        assert await http_filter.check(QUESTION) == ALLOWED
    body = {
        "roomId": str(UUID(int=1)),
        "userId": str(UUID(int=2)),
        "username": "alice",
        "message": "hello 😀",
    }
    assert classifier.asked == [(body, "Bearer secret")] * 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"action": "delete"}',
        b'{"action": 1}',
        b'{"action": "hold", "reason": 5}',
        b"\xff\xfe",
        b"[" * 15_000,
        b'{"action": "allow", "reason": "' + b"x" * 20_000 + b'"}',
    ],
)
async def test_an_answer_that_is_not_right_is_a_failure(body: bytes) -> None:
    async with serving(Classifier(body).handle) as http_filter:
        with pytest.raises(FilterFailure):
            await http_filter.check(QUESTION)


@pytest.mark.parametrize("status", [201, 204, 302, 404, 500])
async def test_another_status_is_a_failure(status: int) -> None:
    classifier = Classifier(b"", status, {"Location": "/check"})
    async with serving(classifier.handle) as http_filter:
        with pytest.raises(FilterFailure, match=str(status)):
            await http_filter.check(QUESTION)
    assert len(classifier.asked) == 1


async def test_nobody_there_is_a_failure() -> None:
    async with HttpFilter("http://127.0.0.1:1/check") as http_filter:
        with pytest.raises(FilterFailure):
            await http_filter.check(QUESTION)
