"""A room whose owner switches WebRTC off for the audience: the watch page plays by another way, by itself."""

import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.e2e.chatting import PASSWORD, Chatter, chatting
from tests.e2e.conftest import publishing_pattern
from tests.e2e.test_whep_watch import PLAYED_BY, show_statistics
from tests.e2e.watching import Room, Watcher
from tests.helpers.server_process import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OWNER = "lea"
OFFERS_REAL_TIME = (
    "[...document.getElementById('quality').options].some(({ value }) => value === 'real-time')"
)
ASKED_FOR_WHEP = (
    "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/whep/')).length"
)


@pytest.fixture(scope="module")
def server(live_server: ServerProcess) -> Iterator[ServerProcess]:
    account = ("--username", OWNER, "--email", f"{OWNER}@example.com", "--password", PASSWORD)
    live_server.admin("create-user", *account)
    yield live_server


@pytest.fixture
async def owner(server: ServerProcess, request: pytest.FixtureRequest) -> AsyncIterator[Chatter]:
    """The owner of a room, with a program of their own."""
    made = server.admin("create-room", "--user", OWNER, "--title", request.node.name)
    async with chatting(Room(server, made["roomId"], made["streamKey"]), OWNER) as owner:
        yield owner


async def set_low_latency(owner: Chatter, is_on: bool) -> None:
    await owner.call("PATCH", f"/rooms/{owner.room.id}", {"lowLatency": is_on})


async def wait_played_by(watcher: Watcher, name: str) -> None:
    await watcher.page.wait_for(f"{PLAYED_BY} === '{name}'")
    await watcher.wait_playing()


async def test_a_room_without_low_latency_is_played_by_fmp4_at_once(owner: Chatter, watcher: Watcher) -> None:
    await set_low_latency(owner, False)
    async with publishing_pattern(owner.room):
        await watcher.watch(owner.room.page_url)
        await show_statistics(watcher.page)
        await wait_played_by(watcher, "fMP4 over HTTP")
    assert await watcher.page.evaluate(ASKED_FOR_WHEP) == 0
    assert not await watcher.page.evaluate(OFFERS_REAL_TIME)
    assert watcher.page.problems == []


async def test_switched_off_while_it_plays_and_on_for_the_next_broadcast(
    owner: Chatter, watcher: Watcher
) -> None:
    async with contextlib.AsyncExitStack() as broadcast:
        await broadcast.enter_async_context(publishing_pattern(owner.room))
        await watcher.watch(owner.room.page_url)
        await show_statistics(watcher.page)
        await wait_played_by(watcher, "WebRTC (WHEP)")
        await set_low_latency(owner, False)
        await wait_played_by(watcher, "fMP4 over HTTP")
        await set_low_latency(owner, True)
        await watcher.page.wait_for(OFFERS_REAL_TIME)
        await wait_played_by(watcher, "fMP4 over HTTP")
    await watcher.wait_screen("ended")
    async with publishing_pattern(owner.room):
        await wait_played_by(watcher, "WebRTC (WHEP)")
