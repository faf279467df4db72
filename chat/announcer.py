"""What happens elsewhere in the server and belongs into a room: streams, follows, gifts, news of accounts.

Rules:

* The node on which something happened writes it into the room's log, once; from there it reaches all nodes.
* What may change whom a room listens to makes people be asked for anew, on every node.
* Nothing here holds up who published the event; what cannot be stored now is lost, but for the log line.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import structlog

from chat.errors import Refusal
from chat.hub import Hub
from chat.ports import NotificationSource
from chat.protocol.frames import NotificationBody, Outgoing
from chat.room import Role, role_of
from chat.tasks import Tasks
from chat.writer import LogWriter
from storage.bus import (
    BroadcastEnded,
    BroadcastStarted,
    Bus,
    ChangesMissed,
    GiftSent,
    NotificationAdded,
    RoomDeleted,
    RoomRelationChanged,
    SubscriptionStarted,
    TipSent,
    UserChanged,
    UserFollowed,
)
from storage.database import Database
from storage.errors import StorageError
from storage.repositories.chat_log import NewEvent
from storage.repositories.chat_people import ChatPeople
from storage.repositories.chat_rooms import ChatRooms
from storage.repositories.users import Users

logger = structlog.get_logger("mediaserver.chat")

FOLLOW_AGAIN_SECONDS: Final = 24 * 60 * 60
MAX_FOLLOWS: Final = 50_000
WAIT_SECONDS: Final = 15.0


class Announcer:
    """``subscribe`` is all there is to do."""

    def __init__(
        self, database: Database, hub: Hub, writer: LogWriter, notifications: NotificationSource, tasks: Tasks
    ) -> None:
        self._users = Users(database)
        self._rooms = ChatRooms(database)
        self._people = ChatPeople(database)
        self._hub = hub
        self._writer = writer
        self._notifications = notifications
        self._tasks = tasks
        self._follows = RecentFollows()

    def subscribe(self, bus: Bus) -> None:
        bus.subscribe(BroadcastStarted, lambda event: self._log(event.room_id, "stream-started", {}))
        bus.subscribe(BroadcastEnded, lambda event: self._log(event.room_id, "stream-ended", {}))
        bus.subscribe(GiftSent, self._gift_sent)
        bus.subscribe(TipSent, self._tip_sent)
        bus.subscribe(UserFollowed, lambda event: self._tasks.start(self._followed(event)))
        bus.subscribe(SubscriptionStarted, lambda event: self._tasks.start(self._subscribed(event)))
        bus.subscribe(NotificationAdded, self._notification_added, everywhere=True)
        bus.subscribe(RoomRelationChanged, self._relation_changed)
        bus.subscribe(UserChanged, self._user_changed)
        bus.subscribe(RoomDeleted, lambda event: self._hub.drop(UUID(event.room_id)))
        bus.subscribe(ChangesMissed, self._changes_missed)

    # Into the log

    def _gift_sent(self, event: GiftSent) -> None:
        sender = {"userId": event.from_user_id, "username": event.username}
        data = {
            "from": sender,
            "gift": event.gift,
            "quantity": event.quantity,
            "coins": event.coins,
            "combo": event.combo,
            "roomCoins": event.room_coins,
        }
        self._log(event.room_id, "gift", data)

    def _tip_sent(self, event: TipSent) -> None:
        sender = {"userId": event.from_user_id, "username": event.username}
        data = {
            "from": sender,
            "coins": event.coins,
            "message": event.message,
            "roomCoins": event.room_coins,
        }
        self._log(event.room_id, "tip", data)

    async def _followed(self, event: UserFollowed) -> None:
        if not self._follows.is_new(event.follower_id, event.user_id):
            return
        follower = await self._users.find_by_id(UUID(event.follower_id))
        if follower is not None:
            data = {"userId": event.follower_id, "username": follower.username}
            await self._log_in_rooms_of(UUID(event.user_id), "follow", data)

    async def _subscribed(self, event: SubscriptionStarted) -> None:
        data = {
            "userId": event.user_id,
            "username": event.username,
            "plan": event.plan,
            "months": event.months,
        }
        await self._log_in_rooms_of(UUID(event.owner_id), "subscription", data)

    async def _log_in_rooms_of(self, owner_id: UUID, kind: str, data: Mapping[str, Any]) -> None:
        for room_id in await self._rooms.owned_by(owner_id):
            self._log(str(room_id), kind, data)

    def _log(self, room_id: str, kind: str, data: Mapping[str, Any]) -> None:
        self._tasks.start(self._write(NewEvent(UUID(room_id), kind, data, datetime.now(UTC))))

    async def _write(self, event: NewEvent) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._writer.write(event)
        except (Refusal, TimeoutError) as error:
            logger.warning(
                "chat_event_not_shown", event_kind=event.kind, room_id=str(event.room_id), error=str(error)
            )

    # Out at once

    def _notification_added(self, event: NotificationAdded) -> None:
        if self._hub.connections_of(UUID(event.user_id)):
            self._tasks.start(self._show(event))

    async def _show(self, event: NotificationAdded) -> None:
        try:
            notification = await self._notifications.find(UUID(event.user_id), UUID(event.notification_id))
        except StorageError as error:
            logger.warning("chat_notification_not_shown", error=str(error))
            return
        if notification is None:
            return
        frame = Outgoing("notification", NotificationBody(notification))
        for connection in self._hub.connections_of(UUID(event.user_id)):
            connection.write(frame.wire(connection.encoding))

    # What is known of people

    def _relation_changed(self, event: RoomRelationChanged) -> None:
        user_id, owner_id = UUID(event.user_id), UUID(event.owner_id)
        for room in self._hub.rooms():
            if room.owner_id == owner_id:
                room.forget_person(user_id)

    def _user_changed(self, event: UserChanged) -> None:
        user_id = UUID(event.user_id)
        for room in self._hub.rooms():
            room.forget_person(user_id)
        if self._hub.connections_of(user_id):
            self._tasks.start(self._renew_roles(user_id))

    async def _renew_roles(self, user_id: UUID) -> None:
        """Staff may have become somebody else, who must not go on seeing what only moderators see."""
        for connection in self._hub.connections_of(user_id):
            for room in list(connection.rooms.values()):
                try:
                    person = await self._people.person(room.id, user_id)
                except StorageError as error:
                    logger.warning("chat_role_not_renewed", user_id=str(user_id), error=str(error))
                    person = None
                visitor = room.visitors.get(connection)
                if visitor is not None:
                    # Of somebody who is not known now, or is gone, nothing more than of a member is assumed.
                    visitor.role = role_of(person) if person is not None else Role.MEMBER

    def _changes_missed(self, _: ChangesMissed) -> None:
        for room in self._hub.rooms():
            room.forget_people()
        self._hub.missed()
        self._tasks.start(self._renew_staff())

    async def _renew_staff(self) -> None:
        """Roles in rooms are in their logs, and so are not missed; those on the site are not."""
        staff = {
            connection.identity.user_id
            for room in self._hub.rooms()
            for connection, visitor in room.visitors.items()
            if visitor.role is Role.STAFF and connection.identity is not None
        }
        for user_id in staff:
            await self._renew_roles(user_id)


class RecentFollows:
    """Who follows, leaves and follows again is shown once a day."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    def is_new(self, follower_id: str, user_id: str) -> bool:
        now = self._clock()
        while self._seen and next(iter(self._seen.values())) < now - FOLLOW_AGAIN_SECONDS:
            self._seen.popitem(last=False)
        if (follower_id, user_id) in self._seen:
            return False
        self._seen[follower_id, user_id] = now
        if len(self._seen) > MAX_FOLLOWS:
            self._seen.popitem(last=False)
        return True
