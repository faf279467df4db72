"""From what storage knows to what goes out."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from chat.protocol.frames import (
    HIDDEN_EVENTS,
    NEW_MESSAGE,
    MessageBody,
    Outgoing,
    Person,
    SettingsBody,
    rfc3339,
)
from storage.repositories.chat_log import LoggedEntry, NewMessage
from storage.repositories.chat_rooms import ChatSettings, LinkPolicy


def message_body(offset: int, message: NewMessage) -> MessageBody:
    return MessageBody(
        message.room_id,
        offset,
        message.id,
        message.user_id,
        message.username,
        message.display_name,
        message.badge,
        message.message,
        rfc3339(message.created_at),
        message.reply_to,
        tuple(Person(each.user_id, each.username) for each in message.mentions),
    )


def settings_body(settings: ChatSettings) -> SettingsBody:
    return SettingsBody(
        settings.slow_mode_seconds,
        settings.followers_only_seconds,
        settings.subscribers_only,
        settings.emote_only,
        settings.unique_chat,
        settings.links.value,
    )


def settings_data(settings: ChatSettings) -> dict[str, Any]:
    """What a ``settings-changed`` entry keeps; ``settings_of`` reads it."""
    return {
        "slowModeSec": settings.slow_mode_seconds,
        "followersOnlySec": settings.followers_only_seconds,
        "subscribersOnly": settings.subscribers_only,
        "emoteOnly": settings.emote_only,
        "uniqueChat": settings.unique_chat,
        "links": settings.links.value,
    }


def settings_of(data: Mapping[str, Any]) -> ChatSettings:
    """Raises KeyError and ValueError for what ``settings_data`` did not write."""
    return ChatSettings(
        data["slowModeSec"],
        data["followersOnlySec"],
        data["subscribersOnly"],
        data["emoteOnly"],
        data["uniqueChat"],
        LinkPolicy(data["links"]),
    )


def frame_of(room_id: UUID, logged: LoggedEntry) -> Outgoing | None:
    """The frame that shows an entry; None for one that nobody is shown."""
    entry = logged.entry
    if isinstance(entry, NewMessage):
        return Outgoing(NEW_MESSAGE, message_body(logged.offset, entry))
    if entry.kind in HIDDEN_EVENTS:
        return None
    return Outgoing(entry.kind, {"roomId": room_id, "offset": logged.offset, **entry.data})
