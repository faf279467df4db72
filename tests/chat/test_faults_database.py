"""PostgreSQL dies or hangs in mid-message: what was acknowledged is stored, what was not is said so."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus

import psutil
import pytest
from aiohttp import WSServerHandshakeError

from tests.chat.live_chat import FREE, Live, comes_true, unique
from tests.chat.talkers import HEAL_SECONDS, Talkers
from tests.faults.test_database import frozen, postmaster
from tests.helpers.server_process import ServerProcess
from tests.helpers.waiting import eventually

pytestmark = pytest.mark.slow

TALKERS = 8


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with ServerProcess(tmp_path_factory.mktemp("fragile") / "data", settings=FREE) as server:
        yield Live(server)


@asynccontextmanager
async def talking(live: Live, room: str) -> AsyncIterator[Talkers]:
    """When the block is over, everybody agrees on what was said, and it is what was acknowledged."""
    async with AsyncExitStack() as stack:
        witness = await stack.enter_async_context(live.inside("mia", room))
        chats = [await stack.enter_async_context(live.inside("ben", room)) for _ in range(TALKERS)]
        talkers = Talkers(chats, room)
        await talkers.more_acked()
        yield talkers
        await talkers.more_acked()
        await talkers.end()
        last = await chats[0].say(room, unique("the last"))
        await witness.heard("new-message", id=last["messageId"])
        told = witness.texts(room)
    assert len(set(told)) == len(told)
    assert set(talkers.acked) <= set(told)
    assert set(told) - set(talkers.answers) == {told[-1]}
    messages = await (await live.person("ana")).get("GET", f"/rooms/{room}/messages?limit=100")
    assert [each["message"] for each in reversed(messages)] == told[-100:]


async def test_a_database_that_is_killed(live: Live) -> None:
    async with talking(live, await live.room()) as talkers:
        killed = await asyncio.to_thread(postmaster, live.server)
        killed.send_signal(signal.SIGQUIT)
        await talkers.some_refused()


async def test_a_database_that_hangs(live: Live) -> None:
    room = await live.room()
    async with talking(live, room) as talkers, live.inside("ana", room) as ana:
        with frozen(live.server):
            # What needs no database goes on.
            await ana.tell("react", roomId=room, reaction="🎉")
            await ana.heard("reaction-burst", roomId=room)
            await talkers.some_refused()


async def test_who_comes_while_the_database_is_away_is_told_to_come_again(live: Live) -> None:
    room, other = await live.room(), await live.room()
    ben = await live.person("ben")
    async with live.inside("mia", room) as mia:
        killed = await asyncio.to_thread(postmaster, live.server)
        killed.send_signal(signal.SIGQUIT)
        await eventually(lambda: not killed.is_running() or killed.status() == psutil.STATUS_ZOMBIE)

        async def is_let_in() -> bool:
            answer = await mia.ask("join-room", roomId=other)
            if answer["t"] == "error":
                assert answer["d"]["code"] == "unavailable"
                assert answer["d"]["retryAfter"] > 0
            return answer["t"] == "joined"

        async def is_connected() -> bool:
            try:
                async with live.chat(ben) as chat:
                    await chat.settle()
            except WSServerHandshakeError as refusal:
                assert refusal.status == HTTPStatus.SERVICE_UNAVAILABLE
                return False
            return True

        await comes_true(is_let_in, HEAL_SECONDS)
        await comes_true(is_connected, HEAL_SECONDS)
        async with live.chat(ben) as chat:
            await chat.join(room)
            said = await chat.say(room, unique())
            await mia.heard("new-message", id=said["messageId"])
