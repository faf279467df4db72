"""What somebody said goes from the rooms that show it when the account goes."""

import asyncio
from uuid import UUID

import pytest

from chat.attendance import Attendance
from chat.departures import Departures
from chat.hub import Hub
from chat.relay import LocalRelay
from chat.tasks import Tasks
from storage.bus import Bus, UserChanged
from storage.database import Database
from storage.repositories.account_data import AccountData
from storage.repositories.chat_log import ChatLog, LoggedEntry
from storage.repositories.chat_rooms import ChatRooms
from storage.repositories.users import Users, UserState
from tests.chat.test_hub import NobodyWatches
from tests.helpers.waiting import eventually
from tests.storage.chat_world import add_room, add_user, message, texts


class Node:
    """A hub of its own, which does not hear of what other nodes write."""

    def __init__(self, database: Database) -> None:
        self.bus, self.tasks, relay = Bus(), Tasks(), LocalRelay()
        self.hub = Hub(database, relay, Attendance(relay, NobodyWatches()), self.tasks)
        Departures(database, self.hub, self.tasks).subscribe(self.bus)
        self._running = asyncio.create_task(self.tasks.run())

    async def end(self) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])


async def said_by(database: Database, user_id: UUID) -> tuple[UUID, list[UUID]]:
    """A room in which they and somebody else have spoken; one of the messages is pinned."""
    room = await add_room(database)
    mine = [message(room, text, user_id=user_id) for text in ("one", "two")]
    await ChatLog(database).append([*mine, message(room, "theirs")])
    await ChatRooms(database).pin(room, mine[0].id)
    return room, [each.id for each in mine]


async def delete_account(database: Database, user_id: UUID) -> None:
    async with database.transaction() as transaction:
        await AccountData(transaction).remove(user_id)


async def test_each_message_is_told_to_be_gone_once_by_whichever_node(database: Database) -> None:
    alice = (await add_user(database, "alice")).id
    room_id, mine = await said_by(database, alice)
    nodes = [Node(database), Node(database)]
    rooms = [await node.hub.open(room_id) for node in nodes]
    await asyncio.sleep(0)
    assert all(sorted(room.messages_by(alice)) == sorted(mine) for room in rooms)
    await delete_account(database, alice)
    for node in nodes:
        node.bus.publish(UserChanged(str(alice)))
        node.bus.publish(UserChanged(str(alice)))
    await eventually(lambda: any(not room.messages_by(alice) for room in rooms))
    for node in nodes:
        node.hub.missed()
    await eventually(lambda: not any(room.messages_by(alice) for room in rooms))
    await eventually(lambda: all(room.pinned is None for room in rooms))
    log: list[LoggedEntry] = await ChatLog(database).since(room_id, 0, 10)
    assert texts(log) == ["theirs", "message-deleted", "message-deleted"]
    for node in nodes:
        await node.end()


@pytest.mark.parametrize("state", [UserState.SUSPENDED, UserState.ACTIVE])
async def test_who_is_still_there_keeps_what_they_said(database: Database, state: UserState) -> None:
    alice = (await add_user(database, "alice")).id
    room_id, mine = await said_by(database, alice)
    node = Node(database)
    room = await node.hub.open(room_id)
    await asyncio.sleep(0)
    await Users(database).set_state(alice, state)
    node.bus.publish(UserChanged(str(alice)))
    gone = (await add_user(database, "gone")).id
    await ChatLog(database).append([message(room_id, "soon gone", user_id=gone)])
    node.hub.missed()
    await eventually(lambda: room.messages_by(gone))
    await delete_account(database, gone)
    node.bus.publish(UserChanged(str(gone)))
    await eventually(lambda: not room.messages_by(gone))
    assert sorted(room.messages_by(alice)) == sorted(mine)
    await node.end()
