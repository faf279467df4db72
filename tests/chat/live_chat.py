"""A running server and people who chat on it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.chat.clients import MSGPACK, Chat, Dial, by_aiohttp, chatting
from tests.control_api.live_api import MANY, PASSWORD, UNLIMITED
from tests.control_api.people_online import Caller, registered
from tests.helpers.server_process import ServerProcess

FREE = UNLIMITED | {
    "MEDIASERVER_CHAT__CONNECTIONS_PER_MINUTE": MANY,
    "MEDIASERVER_CHAT__JOINS_PER_WINDOW": MANY,
    "MEDIASERVER_CHAT__MESSAGES_PER_WINDOW": MANY,
}
PAUSE_SECONDS = 0.05
WITHIN_SECONDS = 2.0
"""In which what has no frame of its own must work; a second, and as much for a machine that is busy."""
_numbers = itertools.count(1)


def unique(text: str = "text") -> str:
    """What nobody has said before."""
    return f"{text} {next(_numbers)}"


async def refusal(chat: Chat, room: str, message: str | None = None) -> str:
    return await chat.refused("chat-message", roomId=room, message=message or unique())


async def comes_true(ask: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Ask until the answer is yes."""
    async with asyncio.timeout(seconds):
        while not await ask():  # noqa: ASYNC110 (the server is another process)
            await asyncio.sleep(PAUSE_SECONDS)


@dataclass
class Person:
    """Somebody with an account. ``url`` is of the server they are on."""

    name: str
    caller: Caller
    id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.caller.token}"}

    async def get(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API; the data of a success."""
        return await asyncio.to_thread(self.caller.get, method, path, body)

    async def code(self, method: str, path: str, body: Any = None) -> str:
        """Call the API; the code of a refusal."""
        response = await asyncio.to_thread(self.caller.ask, method, path, body)
        assert not response.ok, response.text
        return str(response.json()["code"])

    def at(self, url: str) -> "Person":
        """The same person on another node."""
        return Person(self.name, Caller(url, self.caller.token), self.id)


@dataclass
class Live:
    """``people`` are made when somebody first asks for them."""

    server: ServerProcess
    people: dict[str, Person] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.server.base_url}/ws"

    async def person(self, name: str) -> Person:
        if name not in self.people:
            self.people[name] = await self.newcomer(name)
        return self.people[name]

    async def newcomer(self, name: str | None = None) -> Person:
        """Somebody whom no other test knows."""
        name = name or f"new_{next(_numbers)}"
        caller = await asyncio.to_thread(registered, self.server.base_url, name)
        user = await asyncio.to_thread(caller.get, "GET", "/users/me")
        return Person(name, caller, user["id"])

    async def staff(self, name: str, role: str) -> Person:
        """Somebody with a role on the server."""
        if name not in self.people:
            words = ("create-user", "--username", name, "--role", role, "--email", f"{name}@example.com")
            await asyncio.to_thread(self.server.admin, *words, "--password", PASSWORD)
            caller = Caller(self.server.base_url)
            login = {"username": name, "password": PASSWORD}
            caller.token = (await asyncio.to_thread(caller.get, "POST", "/auth/login", login))["accessToken"]
            user = await asyncio.to_thread(caller.get, "GET", "/users/me")
            self.people[name] = Person(name, caller, user["id"])
        return self.people[name]

    async def room(self, owner: str = "ana", **options: Any) -> str:
        """The id of a new room."""
        person = await self.person(owner)
        made = await person.get("POST", "/rooms", {"title": "Bread at midnight", **options})
        return str(made["id"])

    def chat(
        self, person: Person | None = None, dial: Dial = by_aiohttp, subprotocol: str | None = MSGPACK
    ) -> AbstractAsyncContextManager[Chat]:
        """A connection of ``person``, or of somebody who has not signed in."""
        return chatting(self.url, person.headers if person else {}, dial, subprotocol)

    @asynccontextmanager
    async def inside(
        self, name: str | None, *rooms: str, dial: Dial = by_aiohttp, subprotocol: str | None = MSGPACK
    ) -> AsyncIterator[Chat]:
        """A connection of ``name`` that has joined ``rooms``."""
        person = await self.person(name) if name else None
        async with self.chat(person, dial, subprotocol) as chat:
            for room in rooms:
                await chat.join(room)
            yield chat

    async def turned_away(
        self, query: str = "", headers: Mapping[str, str] | None = None, *subprotocols: str
    ) -> tuple[int, bytes]:
        """Status and body of a handshake that is refused."""
        offered = [Subprotocol(each) for each in subprotocols] or None
        address = self.url.replace("http", "ws", 1) + query
        try:
            async with connect(address, additional_headers=headers, subprotocols=offered, proxy=None):
                raise AssertionError("it was let in")
        except InvalidStatus as refusal:
            return refusal.response.status_code, bytes(refusal.response.body or b"")
