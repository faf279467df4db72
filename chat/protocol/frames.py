"""The frames of ``chat.v1``: ``{"t": type, "id"?: any number of the client's, "d": body}``.

Rules:

* A frame is encoded once for each encoding, however many it is sent to (``Outgoing``).
* Bodies are Structs in camelCase, so that docs/chat-protocol.md can be held against them.
* What a client sends may have no fields but these; a body that is not right is a Refusal ``bad_frame`` that
  names the field, a frame that is none at all too.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from chat.errors import Refusal
from chat.protocol.websocket import binary_frame, text_frame

MAX_FRAME_BYTES: Final = 64 * 1024
MAX_MESSAGE_CHARACTERS: Final = 500
MAX_HISTORY: Final = 100
MAX_MISSED: Final = 300
"""More than so many missed frames are not recovered; see docs/chat-protocol.md, Recovery."""
MAX_REACTION_CHARACTERS: Final = 16
MAX_ROOM_CHARACTERS: Final = 64
MAX_ID: Final = 2**53 - 1

FrameId = Annotated[int, Meta(ge=0, le=MAX_ID)]
RoomRef = Annotated[str, Meta(min_length=1, max_length=MAX_ROOM_CHARACTERS)]


class ClientBody(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What clients may say; ``CLIENT_BODIES`` lists the types."""


class JoinRoom(ClientBody, frozen=True):
    """``epoch`` and ``offset`` of the last frame seen; ``history`` so many messages of before."""

    room_id: RoomRef
    epoch: Annotated[str, Meta(max_length=64)] | None = None
    offset: Annotated[int, Meta(ge=0, le=MAX_ID)] | None = None
    history: Annotated[int, Meta(ge=0, le=MAX_HISTORY)] = 0


class LeaveRoom(ClientBody, frozen=True):
    room_id: UUID


class ChatMessage(ClientBody, frozen=True):
    """``message`` is measured after it was trimmed, so the wire allows more than a message may have."""

    room_id: UUID
    message: Annotated[str, Meta(max_length=MAX_FRAME_BYTES)]
    reply_to: UUID | None = None


class DeleteMessage(ClientBody, frozen=True):
    room_id: UUID
    message_id: UUID


class ClearChat(ClientBody, frozen=True):
    room_id: UUID


class React(ClientBody, frozen=True):
    room_id: UUID
    reaction: Annotated[str, Meta(min_length=1, max_length=MAX_REACTION_CHARACTERS)]


class Typing(ClientBody, frozen=True):
    room_id: UUID


class Ping(ClientBody, frozen=True):
    pass


CLIENT_BODIES: Final[Mapping[str, type[ClientBody]]] = {
    "join-room": JoinRoom,
    "leave-room": LeaveRoom,
    "chat-message": ChatMessage,
    "delete-message": DeleteMessage,
    "clear-chat": ClearChat,
    "react": React,
    "typing": Typing,
    "ping": Ping,
}


class ServerBody(Struct, frozen=True, rename="camel"):
    """What the server says; ``SERVER_BODIES`` lists the types."""


class Person(ServerBody, frozen=True):
    user_id: UUID
    username: str


class SettingsBody(ServerBody, frozen=True):
    """``followers_only_sec``: None lets everybody speak, 0 all followers, more those who follow so long."""

    slow_mode_sec: int
    followers_only_sec: int | None
    subscribers_only: bool
    emote_only: bool
    unique_chat: bool
    links: str


class MessageBody(ServerBody, frozen=True):
    """``badge``: ``owner``, ``moderator``, ``staff``, ``subscriber``, None; ``timestamp`` as in RFC 3339."""

    room_id: UUID
    offset: int
    id: UUID
    user_id: UUID
    username: str
    display_name: str
    badge: str | None
    message: str
    timestamp: str
    reply_to: UUID | None
    mentions: tuple[Person, ...]


class You(ServerBody, frozen=True):
    """``role`` is ``owner``, ``staff``, ``moderator``, ``member`` or ``anonymous``."""

    user_id: UUID | None
    username: str | None
    role: str


class Joined(ServerBody, frozen=True):
    """``missed`` are whole frames, ``history`` new-message frames, both oldest first."""

    room_id: UUID
    epoch: str
    offset: int
    recovered: bool
    missed: list[msgspec.Raw]
    history: list[msgspec.Raw]
    settings: SettingsBody
    viewer_count: int
    pinned_message: MessageBody | None
    you: You


class Left(ServerBody, frozen=True):
    """``code`` is ``left`` for who asked to leave, otherwise why the room is closed to this user now."""

    room_id: UUID
    code: str


class Ack(ServerBody, frozen=True):
    room_id: UUID
    message_id: UUID | None
    offset: int


class ErrorBody(ServerBody, frozen=True, omit_defaults=True):
    """``retry_after`` in seconds."""

    code: str
    message: str
    retry_after: float | UnsetType = UNSET
    room_id: UUID | UnsetType = UNSET


class ViewerMoved(ServerBody, frozen=True):
    room_id: UUID
    user_id: UUID
    username: str
    viewer_count: int


class ViewerCount(ServerBody, frozen=True):
    room_id: UUID
    viewer_count: int


class MessageHeld(ServerBody, frozen=True, omit_defaults=True):
    """To the sender without, to moderators with the message. ``status`` is ``held`` or ``denied``."""

    room_id: UUID
    message_id: UUID
    status: str
    user_id: UUID | UnsetType = UNSET
    username: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class ReactionBurst(ServerBody, frozen=True):
    room_id: UUID
    reactions: dict[str, int]


class TypingNow(ServerBody, frozen=True):
    room_id: UUID
    users: tuple[Person, ...]


class NotificationBody(ServerBody, frozen=True):
    """A notification as GET /api/v1/notifications lists it."""

    notification: Mapping[str, object]


class Pong(ServerBody, frozen=True):
    pass


EPHEMERAL_BODIES: Final[Mapping[str, type[ServerBody]]] = {
    "joined": Joined,
    "left": Left,
    "ack": Ack,
    "error": ErrorBody,
    "viewer-joined": ViewerMoved,
    "viewer-left": ViewerMoved,
    "viewer-count": ViewerCount,
    "message-held": MessageHeld,
    "reaction-burst": ReactionBurst,
    "typing": TypingNow,
    "notification": NotificationBody,
    "pong": Pong,
}
"""Frames without a place in the room's order."""

NEW_MESSAGE: Final = "new-message"
EVENT_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "message-deleted": ("messageId", "deletedBy"),
    "chat-cleared": ("clearedBy",),
    "message-pinned": ("messageId", "pinnedBy"),
    "message-unpinned": (),
    "settings-changed": ("settings", "changedBy"),
    "user-banned": ("userId", "username", "bannedBy"),
    "user-timed-out": ("userId", "username", "durationSec", "until", "bannedBy"),
    "user-unbanned": ("userId", "username", "bannedBy"),
    "moderator-added": ("userId", "username"),
    "moderator-removed": ("userId", "username"),
    "stream-started": (),
    "stream-ended": (),
    "gift": ("from", "gift", "quantity", "coins", "combo", "roomCoins"),
    "tip": ("from", "coins", "message", "roomCoins"),
    "follow": ("userId", "username"),
    "subscription": ("userId", "username", "plan", "months"),
}
"""Events of a room's log besides messages, with the fields of their bodies beside roomId and offset."""

HELD, DENIED, SHADOW_DELETED = "held-added", "held-denied", "shadow-deleted"
HIDDEN_EVENTS: Final = frozenset(
    ("shadow-banned", "shadow-unbanned", SHADOW_DELETED, "blocked-terms-changed", HELD, DENIED)
)
"""Events of the log that take effect on every node and are sent to nobody as they are."""


class Encoding(Enum):
    """The subprotocols."""

    MSGPACK = "chat.v1.msgpack"
    JSON = "chat.v1.json"

    @property
    def is_text(self) -> bool:
        return self is Encoding.JSON

    def frame(self, payload: bytes) -> bytes:
        """``payload`` as one WebSocket message."""
        return text_frame(payload) if self is Encoding.JSON else binary_frame(payload)


class _Envelope(Struct, forbid_unknown_fields=True):
    t: str
    d: msgspec.Raw = msgspec.Raw(b"")
    id: FrameId | None = None


class _Answer(Struct, omit_defaults=True, kw_only=True):
    t: str
    id: int | None = None
    d: Any


_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()
_ENCODERS: Final = {Encoding.JSON: _json.encode, Encoding.MSGPACK: _msgpack.encode}
_json_envelope = msgspec.json.Decoder(_Envelope)
_msgpack_envelope = msgspec.msgpack.Decoder(_Envelope)
_JSON_BODIES: Final = {kind: msgspec.json.Decoder(body) for kind, body in CLIENT_BODIES.items()}
_MSGPACK_BODIES: Final = {kind: msgspec.msgpack.Decoder(body) for kind, body in CLIENT_BODIES.items()}
_EMPTY: Final = {Encoding.JSON: b"{}", Encoding.MSGPACK: b"\x80"}

BodyType = TypeVar("BodyType", bound=ServerBody)


class Incoming(Struct, frozen=True):
    """What a client said. ``id`` is to be given back in the answer."""

    body: ClientBody
    id: int | None


class BadFrame(Refusal):
    """``id`` is the frame's, as far as it could be read."""

    def __init__(self, code: str, message: str, frame_id: int | None) -> None:
        super().__init__(code, message)
        self.id = frame_id


def decode(encoding: Encoding, data: bytes | str) -> Incoming:
    """Read one frame. Raises BadFrame, ``bad_frame`` or ``unknown_type``."""
    envelope = _decode_envelope(encoding, data)
    bodies: Mapping[str, Any] = _JSON_BODIES if encoding is Encoding.JSON else _MSGPACK_BODIES
    decoder = bodies.get(envelope.t)
    if decoder is None:
        raise BadFrame("unknown_type", f"t: there is no frame {envelope.t[:40]!r}", envelope.id)
    try:
        body: ClientBody = decoder.decode(bytes(envelope.d) or _EMPTY[encoding])
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise BadFrame("bad_frame", f"d: {_reason(error)}", envelope.id) from error
    return Incoming(body, envelope.id)


def _decode_envelope(encoding: Encoding, data: bytes | str) -> _Envelope:
    try:
        if encoding is Encoding.JSON:
            return _json_envelope.decode(data)
        return _msgpack_envelope.decode(data if isinstance(data, bytes) else data.encode())
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise BadFrame("bad_frame", _reason(error), None) from error


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


class Outgoing:
    """A frame of the server's, encoded when somebody first needs it and framed once for all."""

    __slots__ = ("_answer", "_payloads", "_wires")

    def __init__(self, kind: str, body: Any, frame_id: int | None = None) -> None:
        """``body`` is a ServerBody, or a mapping with the keys as they go out."""
        self._answer = _Answer(t=kind, id=frame_id, d=body)
        self._payloads: dict[Encoding, bytes] = {}
        self._wires: dict[Encoding, bytes] = {}

    @property
    def kind(self) -> str:
        return self._answer.t

    @property
    def body(self) -> Any:
        return self._answer.d

    def payload(self, encoding: Encoding) -> bytes:
        """The frame itself, as it also stands in ``missed``."""
        payload = self._payloads.get(encoding)
        if payload is None:
            payload = self._payloads[encoding] = _ENCODERS[encoding](self._answer)
        return payload

    def wire(self, encoding: Encoding) -> bytes:
        """The frame in a WebSocket frame."""
        wire = self._wires.get(encoding)
        if wire is None:
            wire = self._wires[encoding] = encoding.frame(self.payload(encoding))
        return wire


def encode_once(encoding: Encoding, kind: str, body: Any, frame_id: int | None = None) -> bytes:
    """The WebSocket frame of something that goes to one connection only."""
    return encoding.frame(_ENCODERS[encoding](_Answer(t=kind, id=frame_id, d=body)))


def error_body(refusal: Refusal, room_id: UUID | None = None) -> ErrorBody:
    return ErrorBody(
        refusal.code,
        refusal.message,
        UNSET if refusal.retry_after is None else round(refusal.retry_after, 3),
        room_id or UNSET,
    )


def rfc3339(at: datetime) -> str:
    """``at`` in UTC, in milliseconds."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
