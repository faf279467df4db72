"""Others in a room's chat, beside the page that is tested."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp

from tests.e2e.watching import Room

PASSWORD: Final = "a good password"
JSON_PROTOCOL: Final = "chat.v1.json"

FLOOD_CONNECTIONS: Final = 8
FLOOD_PER_CONNECTION: Final = 50
"""A second: 400 messages in all, under what one connection may send."""
FLOOD_SECONDS: Final = 8
FLOOD_MESSAGES: Final = FLOOD_CONNECTIONS * FLOOD_PER_CONNECTION * FLOOD_SECONDS


class Chatter:
    """Somebody in the chat with another client."""

    def __init__(self, room: Room, http: aiohttp.ClientSession, token: str) -> None:
        self.room = room
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"}
        self._number = 1

    async def say(self, message: str, **more: Any) -> str:
        """Returns the message's id."""
        async with self.connection() as socket:
            return str((await self.ask(socket, "chat-message", message=message, **more))["messageId"])

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        url = f"{self.room.server.base_url}/api/v1{path}"
        async with self._http.request(method, url, json=body, headers=self._headers) as response:
            assert response.ok, await response.text()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        url = f"{self.room.server.base_url}/ws"
        async with self._http.ws_connect(url, protocols=[JSON_PROTOCOL], headers=self._headers) as socket:
            await self.ask(socket, "join-room")
            yield socket

    async def ask(self, socket: aiohttp.ClientWebSocketResponse, kind: str, **body: Any) -> dict[str, Any]:
        number = self._number = self._number + 1
        await socket.send_json({"t": kind, "id": number, "d": {"roomId": self.room.id, **body}})
        while True:
            frame = await socket.receive_json(timeout=10)
            if frame.get("id") == number:
                assert frame["t"] != "error", frame
                return dict(frame["d"])


@contextlib.asynccontextmanager
async def chatting(room: Room, name: str) -> AsyncIterator[Chatter]:
    async with aiohttp.ClientSession() as http:
        body = {"username": name, "password": PASSWORD}
        async with http.post(f"{room.server.base_url}/api/v1/auth/login", json=body) as response:
            token = (await response.json())["data"]["accessToken"]
        yield Chatter(room, http, token)


async def flood(chatter: Chatter, name: str) -> int:
    """Send for a while, paced by the clock of this process; returns how many were said.

    What is said begins with ``name``, since nobody may say the same again so soon.
    """

    async def send(number: int) -> int:
        count = 0
        async with chatter.connection() as socket:
            start = asyncio.get_running_loop().time()
            drain = asyncio.create_task(_drain(socket))
            for count in range(1, FLOOD_PER_CONNECTION * FLOOD_SECONDS + 1):
                body = {
                    "roomId": chatter.room.id,
                    "message": f"{name} {number} says {count} and a little more",
                }
                await socket.send_json({"t": "chat-message", "d": body})
                await asyncio.sleep(start + count / FLOOD_PER_CONNECTION - asyncio.get_running_loop().time())
            drain.cancel()
        return count

    sent = sum(await asyncio.gather(*(send(number) for number in range(FLOOD_CONNECTIONS))))
    await chatter.say(f"last of {name}")
    return sent


async def _drain(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass
