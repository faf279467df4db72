"""The chat: its hub, what writes its logs, what moderates it, and the door at ``/ws``."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

import msgspec
import structlog
from aiohttp import web

from chat.announcer import Announcer
from chat.attendance import Attendance
from chat.departures import Departures
from chat.frame_handler import ChatParts, FrameHandler
from chat.history import History
from chat.hub import Hub
from chat.moderation.external import FilterOptions, Guarded
from chat.moderation.http_filter import HttpFilter
from chat.moderation.screening import Screening
from chat.moderation.service import Moderation
from chat.ports import SignIn, Visits
from chat.redis_relay import RedisRelay
from chat.relay import LocalRelay, Relay
from chat.server import ChatServer, ServerOptions
from chat.tasks import Tasks
from chat.writer import LogWriter
from control_api.routes.notifications import notification_view
from control_api.services.playback import PlaybackAccess
from mediaserver.audience import Audience, LiveRooms, StreamWatchers
from mediaserver.chat_ports import ChatVisits, RoomAdmission
from mediaserver.config import Settings
from mediaserver.config.service_settings import ChatSettings, FilterFailure
from mediaserver.hub.hub import Hub as StreamHub
from mediaserver.playback_sessions import PlaybackCheck, PlaybackSessions, SessionReview
from storage.bus import Bus
from storage.database import Database
from storage.errors import StorageError
from storage.repositories.chat_people import ChatPeople
from storage.repositories.notifications_store import NotificationStore
from storage.shared_state import SharedState

LATEST_NOTIFICATIONS: Final = 20
BANS_SECONDS: Final = 300.0

logger = structlog.get_logger("mediaserver.chat")

Run = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ChatGround:
    """What the chat stands on."""

    settings: Settings
    node: str
    database: Database
    bus: Bus
    state: SharedState
    streams: StreamHub
    watching: PlaybackSessions
    check: PlaybackCheck


class ChatPlane:
    """An async context manager, to be entered before ``tasks`` run. ``open_door`` puts ``/ws`` in place."""

    def __init__(self, ground: ChatGround) -> None:
        settings, database = ground.settings, ground.database
        self._ground = ground
        self._open = AsyncExitStack()
        self._short_tasks = Tasks()
        self._relay = _relay(settings, ground.node)
        watchers = StreamWatchers(ground.streams, ground.watching)
        attendance = Attendance(self._relay, watchers)
        self.hub: Final = Hub(database, self._relay, attendance, self._short_tasks)
        self.audience: Final = Audience(ground.streams, self.hub.presence_of, watchers)
        self._live_rooms = LiveRooms(ground.streams, self.hub)
        self._writer = LogWriter(database, self.hub)
        self.moderation: Final = Moderation(database, self.hub)
        self._history = History(database, settings.chat.history_days)
        self._filter = _http_filter(settings.chat)
        visits = ChatVisits()
        self._review = SessionReview(visits.sessions, ground.check, ground.bus)
        self._frames = FrameHandler(self._parts(attendance, visits))
        self._door: ChatServer | None = None
        Announcer(
            database, self.hub, self._writer, LatestNotifications(database), self._short_tasks
        ).subscribe(ground.bus)
        Departures(database, self.hub, self._short_tasks).subscribe(ground.bus)

    async def __aenter__(self) -> Self:
        if self._filter is not None:
            await self._open.enter_async_context(self._filter)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._door is not None:
            self._door.close()
        await self._review.close()
        await self._relay.close()
        self.hub.close()
        await self._open.aclose()

    @property
    def connection_count(self) -> int:
        return self._door.connection_count if self._door is not None else 0

    @property
    def waiting(self) -> int:
        """Messages that are not stored yet."""
        return self._writer.waiting

    @property
    def relay_dropped(self) -> int:
        """What other nodes were never told of, and have to read for themselves."""
        return self._relay.dropped if isinstance(self._relay, RedisRelay) else 0

    def open_door(self, app: web.Application, sign_in: SignIn) -> ChatServer:
        """Serve ``/ws`` in ``app``, to whoever ``sign_in`` says they are."""
        chat = self._ground.settings.chat
        options = ServerOptions(chat.connections_per_minute, chat.max_connections)
        self._door = ChatServer(
            self._frames, self.hub, sign_in, self._ground.state, self._short_tasks, options
        )
        self._door.subscribe(self._ground.bus)
        app.router.add_get("/ws", self._door.handle)
        return self._door

    def tasks(self) -> dict[str, Run]:
        """What runs as long as the server, by name. The door must be open."""
        assert self._door is not None
        return {
            "chat_tasks": self._short_tasks.run,
            "chat_log": self._writer.run,
            "chat_relay": lambda: self._relay.run(self.hub),
            "chat_connections": self._door.run,
            "chat_bans": self._forget_expired_bans,
            "chat_history": self._history.run,
            # A node that is alone has nobody to tell.
            **({"chat_live_rooms": self._live_rooms.run} if self._ground.settings.redis_url else {}),
        }

    def drain(self) -> None:
        """Take no new connections and let those that are there reconnect elsewhere."""
        if self._door is not None:
            self._door.close()

    async def _forget_expired_bans(self) -> None:
        """They count no more anyway; this only keeps the table small."""
        people = ChatPeople(self._ground.database)
        while True:
            await asyncio.sleep(BANS_SECONDS)
            try:
                await people.forget_expired()
            except StorageError as error:
                logger.warning("chat_bans_not_forgotten", error=str(error))

    def _parts(self, attendance: Attendance, visits: Visits) -> ChatParts:
        ground = self._ground
        chat, outside = ground.settings.chat, None
        if self._filter is not None:
            outside = Guarded(self._filter, _filter_options(chat))
        return ChatParts(
            ground.database,
            self.hub,
            attendance,
            self._writer,
            Screening(ground.state, external=outside, messages_per_window=chat.messages_per_window),
            self.moderation,
            RoomAdmission(ground.database, PlaybackAccess(ground.database)),
            visits,
            ground.state,
            chat.joins_per_window,
        )


class LatestNotifications:
    """Implements chat.ports.NotificationSource."""

    def __init__(self, database: Database) -> None:
        self._store = NotificationStore(database)

    async def find(self, user_id: UUID, notification_id: UUID) -> Mapping[str, object] | None:
        latest = await self._store.page(user_id, None, LATEST_NOTIFICATIONS)
        found = next((each for each in latest if each.id == notification_id), None)
        if found is None:
            return None
        view: dict[str, object] = msgspec.to_builtins(notification_view(found))
        return view


def _relay(settings: Settings, node: str) -> Relay:
    if settings.redis_url is None:
        return LocalRelay()
    return RedisRelay(settings.redis_url.get_secret_value(), node)


def _http_filter(chat: ChatSettings) -> HttpFilter | None:
    return HttpFilter(chat.filter_url) if chat.filter_url else None


def _filter_options(chat: ChatSettings) -> FilterOptions:
    return FilterOptions(
        timeout_seconds=chat.filter_timeout_ms / 1000, is_open=chat.filter_failure is FilterFailure.ALLOW
    )
