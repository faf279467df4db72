"""The frames of `rtc.v1`: protoo's requests, responses and notifications, in JSON or MessagePack.

    {"request": true, "id": 1, "method": "join", "data": {…}}                     from clients
    {"response": true, "id": 1, "ok": true, "data": {…}}                          from the server
    {"response": true, "id": 1, "ok": false, "errorCode": "…", "errorReason": "…"}
    {"notification": true, "method": "newProducer", "data": {…}}

The data of a request is decoded when its method is known; what is wrong with it names the field.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from sfu.room_errors import Refusal
from sfu.room_messages import Message

MAX_FRAME_BYTES: Final = 64 * 1024
MAX_ID: Final = 2**53 - 1
MAX_REASON_CHARACTERS: Final = 400

RequestId = Annotated[int, Meta(ge=0, le=MAX_ID)]
Body = TypeVar("Body", bound=Struct)
_EMPTY: Final = Raw(b"")
_FAULTS: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""Texts that are not UTF-8 are a ValueError."""


class Encoding(StrEnum):
    """How frames travel; the values are the names of the subprotocols."""

    JSON = "rtc.v1.json"
    MSGPACK = "rtc.v1.msgpack"

    @property
    def is_text(self) -> bool:
        """Whether frames are text messages."""
        return self is Encoding.JSON


class _RequestFrame(Struct, frozen=True, forbid_unknown_fields=True):
    request: bool
    id: RequestId
    method: Annotated[str, Meta(min_length=1, max_length=64)]
    data: Raw = _EMPTY


class _AnyFrame(Struct, frozen=True):
    """What can be read of a frame that is none: enough to answer it."""

    id: RequestId


class _Done(Struct, frozen=True):
    id: int
    data: Any
    response: bool = True
    ok: bool = True


class _Refused(Struct, frozen=True, rename="camel"):
    id: int
    error_code: str
    error_reason: str
    response: bool = True
    ok: bool = False


class _Notification(Struct, frozen=True):
    method: str
    data: Message
    notification: bool = True


class Request(Struct, frozen=True):
    """A request whose data is not decoded yet."""

    id: int
    method: str
    data: Raw
    encoding: Encoding

    def body(self, kind: type[Body]) -> Body:
        """Decode the data. Raises Refusal `bad_request` that names the field."""
        if self.data == _EMPTY:
            return _decoded(kind, b"{}", Encoding.JSON, "data")
        return _decoded(kind, bytes(self.data), self.encoding, "data")


class BadFrame(Refusal):
    """No request; `id` is what it would be answered under, if it can be told."""

    def __init__(self, reason: str, identifier: int | None) -> None:
        super().__init__("bad_frame", reason)
        self.id = identifier


def read_request(frame: bytes, encoding: Encoding) -> Request:
    """Return the request that `frame` is. Raises BadFrame."""
    try:
        found = _decoded(_RequestFrame, frame, encoding, "frame")
    except Refusal as refusal:
        raise BadFrame(refusal.message, _id_of(frame, encoding)) from None
    if not found.request:
        raise BadFrame("Clients send requests only: `frame.request` is true.", found.id)
    return Request(found.id, found.method, found.data, encoding)


def done(identifier: int, data: Struct | None, encoding: Encoding) -> bytes:
    """Return the response to a request that was fulfilled."""
    return _ENCODERS[encoding](_Done(identifier, {} if data is None else data))


def refused(identifier: int, code: str, reason: str, encoding: Encoding) -> bytes:
    """Return the response to a request that was not."""
    return _ENCODERS[encoding](_Refused(identifier, code, reason))


class NotificationEncoder:
    """Encodes what goes to many connections once for each encoding."""

    def __init__(self) -> None:
        self._last: dict[Encoding, tuple[Message, bytes]] = {}

    def encode(self, message: Message, encoding: Encoding) -> bytes:
        """Return the frame of a notification."""
        last = self._last.get(encoding)
        if last is not None and last[0] is message:
            return last[1]
        frame = _ENCODERS[encoding](_Notification(message.method, message))
        self._last[encoding] = (message, frame)
        return frame


_ENCODERS: Final[dict[Encoding, Callable[[Any], bytes]]] = {
    Encoding.JSON: msgspec.json.Encoder().encode,
    Encoding.MSGPACK: msgspec.msgpack.Encoder().encode,
}


def _id_of(frame: bytes, encoding: Encoding) -> int | None:
    try:
        return _decoded(_AnyFrame, frame, encoding, "frame").id
    except Refusal:
        return None


def _decoded(kind: type[Body], data: bytes, encoding: Encoding, name: str) -> Body:
    try:
        if encoding is Encoding.JSON:
            return msgspec.json.decode(data, type=kind)
        return msgspec.msgpack.decode(data, type=kind)
    except _FAULTS as error:
        raise Refusal("bad_request", _reason(error, name)) from None


def _reason(error: Exception, name: str) -> str:
    if isinstance(error, msgspec.ValidationError):
        return str(error).replace("`$", f"`{name}")[:MAX_REASON_CHARACTERS]
    return f"The {name} cannot be decoded."
