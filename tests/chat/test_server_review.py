"""Connections of who is signed in no more are closed, whatever keeps the news of it from coming."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

import chat.server
from chat.connection import Connection
from chat.hub import Hub
from chat.ports import Identity
from chat.server import ChatServer, ServerOptions
from chat.tasks import Tasks
from storage.bus import Bus, ChangesMissed, UserChanged
from storage.errors import DatabaseUnavailable
from storage.ids import new_id
from storage.shared_state import LocalState
from tests.chat.stand_ins import Handler, connected
from tests.helpers.waiting import eventually


class Users:
    """Implements chat.ports.SignIn. ``gone`` are signed in no more; ``faults`` answers fail."""

    def __init__(self) -> None:
        self.gone: set[UUID] = set()
        self.faults = 0
        self.asked: list[UUID] = []
        self.coming: Identity | None = None
        self.may_come = asyncio.Event()
        self.is_asked = asyncio.Event()

    async def identify(self, request: web.Request) -> Identity | None:
        self.is_asked.set()
        await self.may_come.wait()
        return self.coming

    async def is_valid(self, identity: Identity) -> bool:
        self.asked.append(identity.user_id)
        if self.faults:
            self.faults -= 1
            raise DatabaseUnavailable("gone")
        return identity.user_id not in self.gone

    def address_of(self, request: web.Request) -> str:
        return "192.0.2.1"


class Door:
    def __init__(self, tasks: Tasks) -> None:
        self.bus, self.users = Bus(), Users()
        self.hub = Hub(cast(Any, None), cast(Any, None), cast(Any, None), tasks)
        frames = cast(Any, Frames())
        self.server = ChatServer(frames, self.hub, self.users, LocalState(), tasks, ServerOptions())
        self.server.subscribe(self.bus)

    def connect(self) -> Connection:
        connection, _ = connected(Handler(), identity=Identity(new_id(), "ben", "Ben"))
        self.hub.connected(connection)
        return connection


class Frames:
    def forget(self, connection: Connection) -> None:
        """It was in no room."""


def user_of(connection: Connection) -> UUID:
    assert connection.identity is not None
    return connection.identity.user_id


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    tasks = Tasks()
    running = asyncio.create_task(tasks.run())
    await asyncio.sleep(0)
    yield Door(tasks)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_when_changes_were_missed_everybody_is_asked_about(door: Door) -> None:
    stays, goes = door.connect(), door.connect()
    door.users.gone.add(user_of(goes))
    door.bus.publish(ChangesMissed())
    await eventually(lambda: goes.is_closed)
    assert not stays.is_closed
    assert user_of(stays) in door.users.asked


async def test_while_the_database_is_away_it_is_asked_again(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat.server, "RETRY_SECONDS", 0.01)
    goes = door.connect()
    door.users.gone.add(user_of(goes))
    door.users.faults = 3
    door.bus.publish(UserChanged(str(user_of(goes))))
    await eventually(lambda: goes.is_closed)


async def test_who_signs_out_while_they_come_in_does_not_stay(door: Door) -> None:
    ben = door.users.coming = Identity(new_id(), "ben", "Ben")
    app = web.Application()
    app.router.add_get("/ws", door.server.handle)
    async with TestClient(TestServer(app, handler_cancellation=True)) as client:
        coming = asyncio.create_task(client.ws_connect("/ws"))
        await door.users.is_asked.wait()
        door.users.gone.add(ben.user_id)
        door.bus.publish(UserChanged(str(ben.user_id)))
        door.users.may_come.set()
        async with asyncio.timeout(10):
            socket = await coming
            await socket.receive()
        assert socket.close_code == 3000
