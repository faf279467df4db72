"""What happens for each frame that a client sends."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog

from chat.attendance import Attendance
from chat.bodies import message_body
from chat.connection import Connection
from chat.errors import Refusal
from chat.hub import Hub
from chat.moderation.emotes import is_reaction
from chat.moderation.rules import is_shadowed
from chat.moderation.screening import Action, Screened, Screening
from chat.moderation.service import Moderation
from chat.people import person_in
from chat.ports import Admission, Identity, RateLimiter, Visits
from chat.protocol.frames import (
    HELD,
    NEW_MESSAGE,
    Ack,
    BadFrame,
    ChatMessage,
    ClearChat,
    ClientBody,
    DeleteMessage,
    Incoming,
    Joined,
    JoinRoom,
    LeaveRoom,
    Left,
    MessageHeld,
    Outgoing,
    Ping,
    Pong,
    React,
    ReactionBurst,
    ServerBody,
    Typing,
    You,
    decode,
    encode_once,
    error_body,
)
from chat.room import Room, Visitor, badge_of, role_of
from chat.writer import LogWriter
from storage.database import Database
from storage.errors import StorageError
from storage.ids import new_id
from storage.repositories.chat_log import ChatLog, LoggedEntry, Mention, NewEvent, NewMessage
from storage.repositories.chat_messages import ChatMessages, MessageState, StoredMessage
from storage.repositories.chat_people import ChatPeople, RoomPerson

logger = structlog.get_logger("mediaserver.chat")

MAX_ROOMS: Final = 20
"""Rooms at once on one connection."""
MAX_MENTIONS: Final = 10
ANSWER_SECONDS: Final = 15.0
REACTIONS_PER_WINDOW: Final = 20
TYPING_PER_WINDOW: Final = 5
JOINS_PER_WINDOW: Final = 60
WINDOW_SECONDS: Final = 10.0
_MENTION: Final = re.compile(r"(?<![A-Za-z0-9_])@([A-Za-z0-9_]{3,30})")


@dataclass(frozen=True, slots=True)
class ChatParts:
    """What the frames are answered with."""

    database: Database
    hub: Hub
    attendance: Attendance
    writer: LogWriter
    screening: Screening
    moderation: Moderation
    admission: Admission
    visits: Visits
    limiter: RateLimiter
    joins_per_window: int = JOINS_PER_WINDOW


class FrameHandler:
    """``handle`` answers one frame; every refusal becomes an ``error`` frame with the frame's id."""

    def __init__(self, parts: ChatParts) -> None:
        self._parts = parts
        self._hub = parts.hub
        self._attendance = parts.attendance
        self._people = ChatPeople(parts.database)
        self._messages = ChatMessages(parts.database)
        self._handlers: Mapping[type[ClientBody], Callable[[Connection, Any], Awaitable[Answer | None]]] = {
            JoinRoom: self._join,
            LeaveRoom: self._leave,
            ChatMessage: self._say,
            DeleteMessage: self._delete,
            ClearChat: self._clear,
            React: self._react,
            Typing: self._type,
            Ping: self._ping,
        }

    async def handle(self, connection: Connection, data: bytes | str) -> None:
        try:
            incoming = decode(connection.encoding, data)
        except BadFrame as refusal:
            _tell(connection, "error", error_body(refusal), refusal.id)
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._handlers[type(incoming.body)](connection, incoming.body)
        except Refusal as refusal:
            _tell(connection, "error", error_body(refusal, _room_id(incoming)), incoming.id)
        except (StorageError, TimeoutError) as error:
            logger.warning("chat_frame_unanswered", error=str(error))
            away = Refusal("unavailable", "The server cannot do this now; try again.", retry_after=1)
            _tell(connection, "error", error_body(away, _room_id(incoming)), incoming.id)
        else:
            if answer is not None:
                _tell(connection, answer.kind, answer.body, incoming.id)

    def forget(self, connection: Connection) -> None:
        """The connection is over: it leaves its rooms."""
        for room_id in list(connection.rooms):
            self._put_out(connection, room_id)

    # Coming and going

    async def _join(self, connection: Connection, body: JoinRoom) -> "Answer | None":
        user_id = connection.identity.user_id if connection.identity else None
        await self._limit(connection, "join", self._parts.joins_per_window)
        entrance = await self._parts.admission.admit(body.room_id, user_id)
        if entrance.room_id not in connection.rooms and len(connection.rooms) >= MAX_ROOMS:
            raise Refusal("too_many_rooms", f"A connection may be in {MAX_ROOMS} rooms at once.")
        on_close = partial(self._dismiss, connection, entrance.room_id)
        visit = self._parts.visits.enter(entrance.room_id, user_id, on_close)
        try:
            room = await self._hub.open(entrance.room_id)
            person = await self._person(room, user_id) if user_id is not None else None
        except BaseException:
            visit.leave()
            raise
        if connection.is_closed:
            visit.leave()
            return None
        self._enter(connection, room, Visitor(visit, role_of(person)))
        return Answer("joined", self._joined(connection, room, body))

    def _enter(self, connection: Connection, room: Room, visitor: Visitor) -> None:
        self._put_out(connection, room.id, is_silent=True)  # who joins again begins anew
        connection.rooms[room.id] = room
        self._attendance.enter(room, connection, visitor)

    def _joined(self, connection: Connection, room: Room, body: JoinRoom) -> Joined:
        missed = None
        if body.epoch == room.epoch and body.offset is not None and body.offset <= room.offset:
            missed = room.ring.since(body.offset)
        identity, encoding = connection.identity, connection.encoding

        def raw(frames: list[Outgoing]) -> list[msgspec.Raw]:
            return [msgspec.Raw(frame.payload(encoding)) for frame in frames]

        return Joined(
            room.id,
            room.epoch,
            room.offset,
            recovered=missed is not None,
            missed=raw(missed or []),
            # Who recovered has it already.
            history=raw(room.ring.recent_messages(body.history) if missed is None else []),
            settings=room.settings_body,
            viewer_count=self._attendance.viewer_count(room),
            pinned_message=room.pinned,
            you=You(
                identity.user_id if identity else None,
                identity.username if identity else None,
                room.visitors[connection].role.value,
            ),
        )

    async def _leave(self, connection: Connection, body: LeaveRoom) -> "Answer | None":
        self._room(connection, body.room_id)
        self._put_out(connection, body.room_id)
        return Answer("left", Left(body.room_id, "left"))

    def _dismiss(self, connection: Connection, room_id: UUID) -> None:
        """The room is closed to this visitor now."""
        if room_id in connection.rooms:
            self._put_out(connection, room_id)
            _tell(connection, "left", Left(room_id, "closed"), None)

    def _put_out(self, connection: Connection, room_id: UUID, is_silent: bool = False) -> None:
        room = connection.rooms.pop(room_id, None)
        if room is not None:
            visitor = self._attendance.leave(room, connection, is_silent)
            if visitor is not None:
                visitor.visit.leave()

    # Saying

    async def _say(self, connection: Connection, body: ChatMessage) -> "Answer | None":
        identity = _signed_in(connection)
        room = self._room(connection, body.room_id)
        person = await self._person(room, identity.user_id)
        await self._check_reply(room, body.reply_to, identity.user_id)
        screened = await self._parts.screening.screen(room, person, body.message)
        try:
            return await self._take(room, person, body, screened)
        except BaseException:
            # It may be tried again at once.
            self._parts.screening.take_back(room, screened)
            raise

    async def _take(self, room: Room, person: RoomPerson, body: ChatMessage, screened: Screened) -> "Answer":
        message = NewMessage(
            new_id(),
            room.id,
            person.user_id,
            person.username,
            person.display_name,
            badge_of(person),
            screened.text,
            body.reply_to,
            await self._mentions(screened.text),
            datetime.now(UTC),
        )
        if screened.action is Action.ALLOW:
            return Answer("ack", Ack(room.id, message.id, await self._parts.writer.write(message)))
        if screened.action is Action.HOLD:
            return await self._hold(room, message, screened)
        return await self._say_to_nobody(room, message)

    async def _hold(self, room: Room, message: NewMessage, screened: Screened) -> "Answer":
        """Moderators are told by way of the log, since they may be on another node."""
        added = NewEvent(room.id, HELD, {"messageId": str(message.id)}, message.created_at)
        async with self._parts.database.transaction() as transaction:
            await ChatMessages(transaction).add(message, MessageState.HELD, screened.reason)
            [offset] = await ChatLog(transaction).append([added])
        if offset is not None:
            self._hub.logged([LoggedEntry(offset, added)])
        return Answer("message-held", MessageHeld(room.id, message.id, "held"))

    async def _say_to_nobody(self, room: Room, message: NewMessage) -> "Answer":
        """Of somebody under a shadow ban: they see it, and nobody else does."""
        await self._messages.add(message, MessageState.SHADOWED, None)
        own = room.connections_of(message.user_id)
        room.say_to(own, NEW_MESSAGE, message_body(room.offset, message))
        return Answer("ack", Ack(room.id, message.id, room.offset))

    async def _check_reply(self, room: Room, reply_to: UUID | None, user_id: UUID) -> None:
        if reply_to is None or room.ring.find(reply_to) is not None:
            return
        replied = await self._messages.find(room.id, reply_to)
        if replied is None or replied.deleted_at is not None or not _is_seen_by(user_id, replied):
            raise Refusal("message_not_found", "replyTo: there is no such message in this room.")

    async def _mentions(self, text: str) -> tuple[Mention, ...]:
        names = list(dict.fromkeys(_MENTION.findall(text)))[:MAX_MENTIONS]
        return tuple(await self._people.find_names(names)) if names else ()

    async def _react(self, connection: Connection, body: React) -> "Answer | None":
        identity = _signed_in(connection)
        room = self._room(connection, body.room_id)
        if not is_reaction(body.reaction):
            raise Refusal("bad_frame", "d.reaction: an emoji, or a name such as :wave:")
        is_heard = await self._is_heard(room, identity)
        await self._limit(connection, "react", REACTIONS_PER_WINDOW)
        if is_heard:
            self._attendance.react(room, body.reaction)
        else:
            own = room.connections_of(identity.user_id)
            room.say_to(own, "reaction-burst", ReactionBurst(room.id, {body.reaction: 1}))
        return None

    async def _type(self, connection: Connection, body: Typing) -> "Answer | None":
        identity = _signed_in(connection)
        room = self._room(connection, body.room_id)
        is_heard = await self._is_heard(room, identity)
        await self._limit(connection, "typing", TYPING_PER_WINDOW)
        if is_heard:
            self._attendance.type(room, identity)
        return None

    async def _is_heard(self, room: Room, identity: Identity) -> bool:
        """False for who is under a shadow ban. Raises Refusal for who may say nothing."""
        person = await self._person(room, identity.user_id)
        self._parts.screening.check_ban(person)
        return not is_shadowed(person, datetime.now(UTC))

    # Moderation

    async def _delete(self, connection: Connection, body: DeleteMessage) -> "Answer | None":
        identity = _signed_in(connection)
        room = self._room(connection, body.room_id)
        await self._parts.moderation.delete_message(
            identity.user_id,
            room.id,
            body.message_id,
            connection.address,
            only_own=not identity.may_moderate,
        )
        return Answer("ack", Ack(room.id, body.message_id, room.offset))

    async def _clear(self, connection: Connection, body: ClearChat) -> "Answer | None":
        identity = _moderating(connection)
        room = self._room(connection, body.room_id)
        await self._parts.moderation.clear(identity.user_id, room.id, connection.address)
        return Answer("ack", Ack(room.id, None, room.offset))

    async def _ping(self, _connection: Connection, _body: Ping) -> "Answer | None":
        return Answer("pong", Pong())

    # What several need

    def _room(self, connection: Connection, room_id: UUID) -> Room:
        room = self._hub.find(room_id) if room_id in connection.rooms else None
        if room is None:
            raise Refusal("not_joined", "Join the room first.")
        return room

    async def _person(self, room: Room, user_id: UUID) -> RoomPerson:
        person = await person_in(room, self._people, user_id)
        if person is None:
            raise Refusal("room_not_found", "The room does not exist any more.")
        return person

    async def _limit(self, connection: Connection, what: str, limit: int) -> None:
        who = connection.identity.user_id if connection.identity else connection.address
        allowance = await self._parts.limiter.take(f"chat:{what}:{who}", limit, WINDOW_SECONDS)
        if not allowance.is_allowed:
            raise Refusal("rate_limited", "Too often; wait a little.", allowance.reset_seconds)


@dataclass(frozen=True, slots=True)
class Answer:
    """A frame for the one who asked."""

    kind: str
    body: ServerBody


def _tell(connection: Connection, kind: str, body: ServerBody, frame_id: int | None) -> None:
    connection.write(encode_once(connection.encoding, kind, body, frame_id))


def _signed_in(connection: Connection) -> Identity:
    if connection.identity is None:
        raise Refusal("sign_in_required", "Sign in to do this; without, you may read.")
    return connection.identity


def _moderating(connection: Connection) -> Identity:
    identity = _signed_in(connection)
    if not identity.may_moderate:
        raise Refusal("not_a_moderator", "The API key does not have the scope chat:moderate.")
    return identity


def _is_seen_by(user_id: UUID, message: StoredMessage) -> bool:
    """Under a shadow ban one sees one's own messages, and may not learn that others do not."""
    is_own = message.user_id == user_id and message.state is MessageState.SHADOWED
    return is_own or message.state is MessageState.VISIBLE


def _room_id(incoming: Incoming) -> UUID | None:
    room_id = getattr(incoming.body, "room_id", None)
    return room_id if isinstance(room_id, UUID) else None
