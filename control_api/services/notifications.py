"""Telling users what happened: stored, told to the bus, and queued for e-mail and Web Push by preference."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from control_api.errors import unauthorized, version_mismatch
from control_api.pagination import Page, id_in, page_of
from control_api.services.notification_kinds import KINDS, Kind
from storage.bus import Bus, NotificationAdded, UserFollowed
from storage.database import Executor
from storage.errors import DatabaseUnavailable, InvalidValue
from storage.repositories.notifications_store import (
    Added,
    Channels,
    News,
    Notification,
    NotificationStore,
)

logger = structlog.get_logger("mediaserver.notifications")

MOST_UNREAD: Final = 1000
FOLLOW_QUEUE: Final = 10_000
RETRY_SECONDS: Final = 1.0
CLEANING_SECONDS: Final = 60.0
CLEANED_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class NotificationOptions:
    """Notifications are forgotten after ``kept_for``."""

    kept_for: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a user wants to be told, of every kind, as set or by default. ``version`` counts the changes."""

    channels: Mapping[Kind, Channels]
    version: int


class Notifications:
    """``notify`` is for whoever has news. ``run`` tells of follows and forgets what is old."""

    def __init__(self, database: Executor, bus: Bus, options: NotificationOptions | None = None) -> None:
        self._store = NotificationStore(database)
        self._bus = bus
        self._options = options or NotificationOptions()
        self._follows: asyncio.Queue[UserFollowed] = asyncio.Queue(FOLLOW_QUEUE)
        bus.subscribe(UserFollowed, self._followed)

    async def notify(
        self,
        user_id: UUID,
        kind: Kind,
        data: Mapping[str, Any],
        source: str | None = None,
        actor_id: UUID | None = None,
    ) -> None:
        """Tell ``user_id``. Of one ``source`` a user hears once; of an ``actor_id`` they blocked, never."""
        news = News(kind.value, data, source, actor_id)
        announce(self._bus, await self._store.add([user_id], news, KINDS[kind].defaults))

    async def page(
        self, user_id: UUID, only_unread: bool, cursor: str | None, limit: int
    ) -> Page[Notification]:
        """The newest first."""
        read = self._store.unread_page if only_unread else self._store.page
        found = await read(user_id, id_in(cursor), limit + 1)
        return page_of(found, limit, lambda notification: (notification.id,))

    async def count_unread(self, user_id: UUID) -> int:
        """At most MOST_UNREAD; nobody counts further."""
        return await self._store.count_unread(user_id, MOST_UNREAD)

    async def mark_read(self, user_id: UUID, ids: Sequence[UUID] | None) -> int:
        """Those with ``ids``, or with None all; how many were unread. Ids of others are passed over."""
        if ids is None:
            return await self._store.mark_all_read(user_id)
        return await self._store.mark_read(user_id, ids)

    async def preferences(self, user_id: UUID) -> Wishes:
        """Raises ApiError 401 for somebody who is not there any more."""
        stored = await self._store.preferences(user_id)
        if stored is None:
            raise unauthorized()
        channels = {kind: stored.channels.get(kind.value, rules.defaults) for kind, rules in KINDS.items()}
        return Wishes(channels, stored.version)

    async def set_preferences(
        self, user_id: UUID, preferences: Mapping[Kind, Channels], version: int | None = None
    ) -> Wishes:
        """Kinds that are not in ``preferences`` stay as they are. ``version`` is the one the client has seen.

        Raises ApiError 412 ``version_mismatch``.
        """
        chosen = {kind.value: channels for kind, channels in preferences.items()}
        is_set = await self._store.set_preferences(user_id, chosen, version)
        wishes = await self.preferences(user_id)
        if not is_set:
            raise version_mismatch("list of preferences")
        return wishes

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_of_follows())
            tasks.create_task(self._clean())

    async def clean_once(self) -> int:
        """Forget some of what is too old; how many rows it was."""
        moment = datetime.now(UTC) - self._options.kept_for
        return await self._store.delete_older(moment, CLEANED_AT_ONCE)

    def _followed(self, event: UserFollowed) -> None:
        try:
            self._follows.put_nowait(event)
        except asyncio.QueueFull:
            logger.warning("follow_not_told", reason="too many at once")

    async def _tell_of_follows(self) -> None:
        while True:
            event = await self._follows.get()
            try:
                await self._tell_of_follow(event)
            except DatabaseUnavailable:
                self._followed(event)
                await asyncio.sleep(RETRY_SECONDS)
            except InvalidValue:
                logger.info("follow_not_told", reason="a user is gone")

    async def _tell_of_follow(self, event: UserFollowed) -> None:
        follower_id, user_id = UUID(event.follower_id), UUID(event.user_id)
        follower = await self._store.find_person(follower_id)
        if follower is None:
            return
        data = {
            "userId": event.follower_id,
            "username": follower.username,
            "displayName": follower.display_name,
        }
        # The source lets who follows, leaves and follows again be heard of once.
        await self.notify(user_id, Kind.FOLLOW, data, event.follower_id, follower_id)

    async def _clean(self) -> None:
        while True:
            try:
                while await self.clean_once() == CLEANED_AT_ONCE:
                    pass
            except DatabaseUnavailable as error:
                logger.warning("notifications_not_cleaned", error=str(error))
            await asyncio.sleep(CLEANING_SECONDS)


def announce(bus: Bus, added: Sequence[Added]) -> None:
    """Tell the bus of what was committed."""
    for notification in added:
        if notification.in_app:
            bus.publish(NotificationAdded(str(notification.user_id), str(notification.id)))
