"""What an entry of a room's log changes in the room, on every node, when it is delivered there."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

import structlog

from chat.bodies import frame_of, settings_of
from chat.protocol.frames import DENIED, SHADOW_DELETED, MessageHeld
from chat.room import Role, Room
from storage.repositories.chat_log import LoggedEntry, NewEvent, NewMessage

logger = structlog.get_logger("mediaserver.chat")

Data = Mapping[str, Any]


def deliver(room: Room, logged: LoggedEntry, is_news: bool = True) -> None:
    """Let an entry take effect and keep it; say it if it ``is_news`` to those who are in the room."""
    entry = logged.entry
    if isinstance(entry, NewEvent):
        _apply(room, entry)
    frame = frame_of(room.id, logged)
    if frame is None:
        return
    message_id = entry.id if isinstance(entry, NewMessage) else None
    room.ring.append(logged.offset, frame, message_id)
    if is_news:
        room.fanout.say(frame)


def _apply(room: Room, event: NewEvent) -> None:
    effect = _EFFECTS.get(event.kind)
    if effect is None:
        return
    try:
        effect(room, event.data)
    except (KeyError, TypeError, ValueError):
        # Written by another version; the room goes on with what it knows.
        logger.exception("chat_event_without_effect", event_kind=event.kind, room_id=str(room.id))


def _message_deleted(room: Room, data: Data) -> None:
    message_id = UUID(data["messageId"])
    room.ring.forget(message_id)
    room.pin_changes += 1
    if room.pinned is not None and room.pinned.id == message_id:
        room.pinned = None


def _chat_cleared(room: Room, _: Data) -> None:
    room.ring.forget_messages()
    _unpinned(room, _)


def _settings_changed(room: Room, data: Data) -> None:
    room.settings = settings_of(data["settings"])


def _person_changed(room: Room, data: Data) -> None:
    room.forget_person(UUID(data["userId"]))


def _moderator_added(room: Room, data: Data) -> None:
    _give_role(room, UUID(data["userId"]), Role.MEMBER, Role.MODERATOR)


def _moderator_removed(room: Room, data: Data) -> None:
    _give_role(room, UUID(data["userId"]), Role.MODERATOR, Role.MEMBER)


def _give_role(room: Room, user_id: UUID, before: Role, after: Role) -> None:
    room.forget_person(user_id)
    for connection in room.connections_of(user_id):
        visitor = room.visitors[connection]
        if visitor.role is before:
            visitor.role = after


def _message_denied(room: Room, data: Data) -> None:
    own = room.connections_of(UUID(data["userId"]))
    room.say_to(own, "message-held", MessageHeld(room.id, UUID(data["messageId"]), "denied"))


def _shadow_deleted(room: Room, data: Data) -> None:
    """For its author alone it was there."""
    user_id = data["userId"]
    body = {
        "roomId": room.id,
        "offset": room.offset,
        "messageId": data["messageId"],
        "deletedBy": user_id,
    }
    room.say_to(room.connections_of(UUID(user_id)), "message-deleted", body)


def _unpinned(room: Room, _: Data) -> None:
    room.pin_changes += 1
    room.pinned = None


_EFFECTS: Final[Mapping[str, Callable[[Room, Data], None]]] = {
    "message-deleted": _message_deleted,
    "chat-cleared": _chat_cleared,
    "settings-changed": _settings_changed,
    "message-unpinned": _unpinned,
    "user-banned": _person_changed,
    "user-timed-out": _person_changed,
    "user-unbanned": _person_changed,
    "shadow-banned": _person_changed,
    "shadow-unbanned": _person_changed,
    DENIED: _message_denied,
    SHADOW_DELETED: _shadow_deleted,
    "moderator-added": _moderator_added,
    "moderator-removed": _moderator_removed,
}
RELOADING: Final = frozenset(("message-pinned", "blocked-terms-changed"))
"""Events that say only that something changed; the hub reads it from the database."""
