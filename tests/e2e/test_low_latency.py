"""A room whose owner switches WebRTC off for the audience: the watch page plays by another way, by itself."""

import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.e2e.chatting import PASSWORD
from tests.e2e.conftest import publishing_pattern
from tests.e2e.test_whep_watch import PLAYED_BY, show_statistics
from tests.e2e.watching import Room, Watcher
from tests.helpers.server_process import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OFFERS_REAL_TIME = (
    "[...document.getElementById('quality').options].some(({ value }) => value === 'real-time')"
)
ASKED_FOR_WHEP = (
    "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/whep/')).length"
)


class Owner:
    """Of one room, with a program of their own."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def make_room(self, server: ServerProcess, title: str) -> None:
        name = f"lea{secrets.token_hex(4)}"
        account = {
            "username": name,
            "email": f"{name}@example.com",
            "password": PASSWORD,
            "acceptTerms": True,
        }
        made = await self._call("POST", "auth/register", account)
        self._http.headers["Authorization"] = f"Bearer {made['accessToken']}"
        room = await self._call("POST", "rooms", {"title": title})
        self.room = Room(server, room["id"], room["streamKey"])

    async def set_low_latency(self, is_on: bool) -> None:
        await self._call("PATCH", f"rooms/{self.room.id}", {"lowLatency": is_on})

    async def _call(self, method: str, path: str, body: dict[str, Any]) -> Any:
        async with self._http.request(method, path, json=body) as response:
            answer = await response.json()
            assert response.ok, answer
            return answer["data"]


@pytest.fixture
async def owner(live_server: ServerProcess, request: pytest.FixtureRequest) -> AsyncIterator[Owner]:
    async with aiohttp.ClientSession(f"{live_server.base_url}/api/v1/") as http:
        owner = Owner(http)
        await owner.make_room(live_server, request.node.name)
        yield owner


async def wait_played_by(watcher: Watcher, name: str) -> None:
    await watcher.page.wait_for(f"{PLAYED_BY} === '{name}'")
    await watcher.wait_playing()


async def test_a_room_without_low_latency_is_played_by_fmp4_at_once(owner: Owner, watcher: Watcher) -> None:
    await owner.set_low_latency(False)
    async with publishing_pattern(owner.room):
        await watcher.watch(owner.room.page_url)
        await show_statistics(watcher.page)
        await wait_played_by(watcher, "fMP4 over HTTP")
    assert await watcher.page.evaluate(ASKED_FOR_WHEP) == 0
    assert not await watcher.page.evaluate(OFFERS_REAL_TIME)
    assert watcher.page.problems == []


async def test_switched_off_while_it_plays_and_on_for_the_next_broadcast(
    owner: Owner, watcher: Watcher
) -> None:
    async with contextlib.AsyncExitStack() as broadcast:
        await broadcast.enter_async_context(publishing_pattern(owner.room))
        await watcher.watch(owner.room.page_url)
        await show_statistics(watcher.page)
        await wait_played_by(watcher, "WebRTC (WHEP)")
        await owner.set_low_latency(False)
        await wait_played_by(watcher, "fMP4 over HTTP")
        await owner.set_low_latency(True)
        await watcher.page.wait_for(OFFERS_REAL_TIME)
        await wait_played_by(watcher, "fMP4 over HTTP")
    await watcher.wait_screen("ended")
    asked = await watcher.page.evaluate(ASKED_FOR_WHEP)
    async with publishing_pattern(owner.room):
        await watcher.page.wait_for(f"{ASKED_FOR_WHEP} > {asked}")
        await watcher.wait_playing()
