"""What is on the channel, and in the hashes that tell who is where: msgpack, with a version.

Bodies of items are decoded only for rooms that are open. Within a version, fields may be added at the end and
kinds of items may be added; older nodes ignore them. A frame of another version is ignored as a whole.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias
from uuid import UUID

import msgspec

from chat.presence import Person, Presence
from storage.repositories.chat_log import LoggedEntry, Mention, NewEvent, NewMessage

VERSION: Final = 1
ENTRIES: Final = "entries"
BURST: Final = "burst"
TYPING: Final = "typing"
PRESENCE: Final = "presence"

INVALID: Final = (ValueError, RecursionError, msgspec.MsgspecError)
"""What decoding raises for what nobody here has written."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
Offset: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Time: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    version: int
    body: msgspec.Raw = msgspec.Raw(b"\xc0")


class Item(msgspec.Struct, frozen=True, array_like=True):
    kind: str
    room_id: UUID
    body: msgspec.Raw


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """``number`` counts the frames of ``node`` since its ``start``, from 1."""

    node: Annotated[str, msgspec.Meta(max_length=128)]
    start: int
    number: int
    items: list[Item]
    has_lost: bool = False
    """Entries were dropped before this frame, so nobody has heard of them."""
    is_last: bool = False
    """The node goes away."""


class WireMessage(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    offset: Offset
    id: UUID
    user_id: UUID
    username: str
    display_name: str
    badge: str | None
    message: str
    reply_to: UUID | None
    mentions: tuple[tuple[UUID, str], ...]
    created_at: Time


class WireEvent(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    offset: Offset
    kind: str
    data: dict[str, Any]
    created_at: Time


class WirePresence(msgspec.Struct, frozen=True, array_like=True):
    """``stamp`` rises with everything that a node tells of a room, so that what is late is known to be."""

    stamp: int
    signed_in: Count
    anonymous: Count
    people: tuple[tuple[str, UUID], ...]
    watchers: frozenset[UUID]
    tells_who: bool


_encoder: Final = msgspec.msgpack.Encoder(uuid_format="bytes")
_envelopes: Final = msgspec.msgpack.Decoder(Envelope)
_frames: Final = msgspec.msgpack.Decoder(Frame)
_entries: Final = msgspec.msgpack.Decoder(list[WireMessage | WireEvent])
_bursts: Final = msgspec.msgpack.Decoder(dict[str, Count])
_typing: Final = msgspec.msgpack.Decoder(dict[UUID, str])
_presences: Final = msgspec.msgpack.Decoder(WirePresence)


class UnknownVersion(ValueError):
    """Written by an older or a newer version of this program."""


def encode_frame(frame: Frame) -> bytes:
    return _encoder.encode(Envelope(VERSION, msgspec.Raw(_encoder.encode(frame))))


def decode_frame(payload: bytes) -> Frame:
    """Raises UnknownVersion, or one of INVALID."""
    return _frames.decode(_open(payload))


def encode_entry(logged: LoggedEntry) -> bytes:
    """Raises ValueError, OverflowError or TypeError for what the database would not keep either."""
    entry = logged.entry
    if isinstance(entry, NewMessage):
        return _encoder.encode(_wire_message(logged.offset, entry))
    # As the database gives it back: ids and times as text.
    data = msgspec.to_builtins(dict(entry.data), str_keys=True)
    return _encoder.encode(WireEvent(logged.offset, entry.kind, data, entry.created_at))


def join_entries(room_id: UUID, entries: Iterable[bytes]) -> Item:
    """One item of what ``encode_entry`` made."""
    return Item(ENTRIES, room_id, msgspec.Raw(_encoder.encode([msgspec.Raw(entry) for entry in entries])))


def decode_entries(room_id: UUID, body: msgspec.Raw) -> list[LoggedEntry]:
    return [LoggedEntry(each.offset, _entry(room_id, each)) for each in _entries.decode(body)]


def burst_item(room_id: UUID, reactions: Mapping[str, int]) -> Item:
    return Item(BURST, room_id, msgspec.Raw(_encoder.encode(reactions)))


def decode_burst(body: msgspec.Raw) -> dict[str, int]:
    return _bursts.decode(body)


def typing_item(room_id: UUID, people: Mapping[UUID, str]) -> Item:
    return Item(TYPING, room_id, msgspec.Raw(_encoder.encode(people)))


def decode_typing(body: msgspec.Raw) -> dict[UUID, str]:
    return _typing.decode(body)


def encode_presence(stamp: int, presence: Presence) -> bytes:
    """The same in an item of a frame and in a hash."""
    wire = WirePresence(
        stamp,
        presence.signed_in,
        presence.anonymous,
        presence.people,
        presence.watchers,
        presence.tells_who,
    )
    return _encoder.encode(Envelope(VERSION, msgspec.Raw(_encoder.encode(wire))))


def presence_item(room_id: UUID, encoded: bytes) -> Item:
    return Item(PRESENCE, room_id, msgspec.Raw(encoded))


def decode_presence(encoded: bytes | msgspec.Raw) -> tuple[int, Presence]:
    """The stamp, and what it is of."""
    wire = _presences.decode(_open(encoded))
    people = tuple(Person(username, user_id) for username, user_id in wire.people)
    return wire.stamp, Presence(wire.signed_in, wire.anonymous, people, wire.watchers, wire.tells_who)


def _open(payload: bytes | msgspec.Raw) -> msgspec.Raw:
    envelope = _envelopes.decode(payload)
    if envelope.version != VERSION:
        raise UnknownVersion(f"version {envelope.version}")
    return envelope.body


def _wire_message(offset: int, message: NewMessage) -> WireMessage:
    return WireMessage(
        offset,
        message.id,
        message.user_id,
        message.username,
        message.display_name,
        message.badge,
        message.message,
        message.reply_to,
        tuple((mention.user_id, mention.username) for mention in message.mentions),
        message.created_at,
    )


def _entry(room_id: UUID, wire: WireMessage | WireEvent) -> NewMessage | NewEvent:
    if isinstance(wire, WireEvent):
        return NewEvent(room_id, wire.kind, wire.data, wire.created_at)
    return NewMessage(
        wire.id,
        room_id,
        wire.user_id,
        wire.username,
        wire.display_name,
        wire.badge,
        wire.message,
        wire.reply_to,
        tuple(Mention(user_id, username) for user_id, username in wire.mentions),
        wire.created_at,
    )
