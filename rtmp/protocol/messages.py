"""Whole RTMP messages: control, command, data and aggregate (RTMP 1.0, sections 5.4, 6 and 7).

Each form is parsed and serialized here, without the chunks around it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

from rtmp.protocol import amf0
from rtmp.protocol.errors import LimitExceededError, MessageError

MAX_AGGREGATED_MESSAGES: Final = 4096
"""Messages inside one aggregate message."""

_SUB_HEADER = Struct(">II3s")
_SUB_HEADER_SIZE = 11
_BACK_POINTER_SIZE = 4
_SHORT = Struct(">H")


class MessageType(IntEnum):
    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACKNOWLEDGEMENT_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    SHARED_OBJECT_AMF3 = 16
    COMMAND_AMF3 = 17
    DATA_AMF0 = 18
    SHARED_OBJECT_AMF0 = 19
    COMMAND_AMF0 = 20
    AGGREGATE = 22


class ChunkStreamId(IntEnum):
    """The chunk streams we send on. Only CONTROL is fixed by the standard."""

    CONTROL = 2
    COMMAND = 3
    AUDIO = 4
    DATA = 5
    VIDEO = 6


class UserControlType(IntEnum):
    """Events of the user control message (section 7.1.7)."""

    STREAM_BEGIN = 0
    STREAM_EOF = 1
    STREAM_DRY = 2
    SET_BUFFER_LENGTH = 3
    STREAM_IS_RECORDED = 4
    PING_REQUEST = 6
    PING_RESPONSE = 7


class BandwidthLimit(IntEnum):
    """Limit types of Set Peer Bandwidth (section 5.4.5)."""

    HARD = 0
    SOFT = 1
    DYNAMIC = 2


@dataclass(frozen=True, slots=True)
class Command:
    """A remote call or its answer. ``transaction_id`` 0 wants no answer."""

    name: str
    transaction_id: float
    command_object: object
    arguments: tuple[object, ...] = ()


def parse_word(name: str, payload: bytes) -> int:
    """Read the one 32-bit field of an Acknowledgement or Window Acknowledgement Size message."""
    if len(payload) != 4:
        raise MessageError(f"{name} of {len(payload)} bytes instead of 4")
    return int.from_bytes(payload, "big")


def serialize_word(value: int) -> bytes:
    return (value & 0xFFFFFFFF).to_bytes(4, "big")


def parse_set_peer_bandwidth(payload: bytes) -> int:
    """Return the window size in bytes. The limit type is not told apart: we treat all as dynamic."""
    if len(payload) != 5:
        raise MessageError(f"Set Peer Bandwidth of {len(payload)} bytes instead of 5")
    return int.from_bytes(payload[:4], "big")


def serialize_set_peer_bandwidth(window: int, limit: BandwidthLimit) -> bytes:
    return serialize_word(window) + bytes((limit,))


def parse_user_control(payload: bytes) -> tuple[int, bytes]:
    """Return event type and event data, at least 4 bytes for the types in UserControlType."""
    if len(payload) < 2:
        raise MessageError(f"user control message of {len(payload)} bytes instead of at least 2")
    event_type = _SHORT.unpack_from(payload)[0]
    if event_type in UserControlType.__members__.values() and len(payload) < 6:
        raise MessageError(f"user control event {event_type} of {len(payload)} bytes instead of at least 6")
    return event_type, payload[2:]


def serialize_user_control(event_type: UserControlType, value: int) -> bytes:
    """Serialize an event with one 32-bit field: a message stream id or a ping's timestamp."""
    return _SHORT.pack(event_type) + serialize_word(value)


def strip_amf3_format(payload: bytes) -> bytes:
    """Return the AMF0 values inside an AMF3 message, which begins with a format byte of 0."""
    if payload[:1] != b"\x00":
        raise MessageError("an AMF3 message that does not begin with format byte 0")
    return payload[1:]


def parse_command(payload: bytes) -> Command:
    """Read a command message (section 7.2). Raises AmfError or MessageError."""
    values = amf0.decode(payload)
    if not values or not isinstance(values[0], str):
        raise MessageError("a command without a name")
    if len(values) < 2 or not isinstance(values[1], float):
        raise MessageError("a command without a transaction id")
    command_object = values[2] if len(values) > 2 else None
    return Command(values[0], values[1], command_object, tuple(values[3:]))


def serialize_command(command: Command) -> bytes:
    return amf0.encode(command.name, command.transaction_id, command.command_object, *command.arguments)


def parse_metadata(payload: bytes) -> Mapping[str, object] | None:
    """Return the properties of onMetaData, with @setDataFrame before it or not, or None for other data."""
    values = amf0.decode(payload)
    if values[:1] == ["@setDataFrame"]:
        del values[0]
    if values[:1] != ["onMetaData"]:
        return None
    properties = values[1] if len(values) > 1 else None
    if not isinstance(properties, dict):
        raise MessageError("onMetaData without an object of properties")
    return properties


def serialize_metadata(properties: Mapping[str, object]) -> bytes:
    """Serialize onMetaData as players receive it; the reverse of ``parse_metadata``."""
    return amf0.encode("onMetaData", amf0.EcmaArray(properties))


def serialize_set_data_frame(properties: Mapping[str, object]) -> bytes:
    """Serialize onMetaData as publishers send it."""
    return amf0.encode("@setDataFrame") + serialize_metadata(properties)


def split_aggregate(timestamp: int, payload: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (type id, timestamp, body) of each message inside an aggregate (section 7.1.6).

    The first gets the aggregate's own ``timestamp`` and the rest keep their distance to it.
    """
    position = 0
    offset: int | None = None
    for _ in range(MAX_AGGREGATED_MESSAGES):
        if position == len(payload):
            return
        if position + _SUB_HEADER_SIZE > len(payload):
            raise MessageError(f"aggregate cut off in the header at byte {position}")
        type_and_length, time, _ = _SUB_HEADER.unpack_from(payload, position)
        # The timestamp's upper byte comes last, as in an FLV tag.
        sub_timestamp = (time >> 8) | (time & 0xFF) << 24
        start = position + _SUB_HEADER_SIZE
        position = start + (type_and_length & 0xFFFFFF) + _BACK_POINTER_SIZE
        if position > len(payload):
            raise MessageError(f"aggregate cut off in the message at byte {start}")
        if offset is None:
            offset = timestamp - sub_timestamp
        body = payload[start : position - _BACK_POINTER_SIZE]
        yield type_and_length >> 24, (sub_timestamp + offset) & 0xFFFFFFFF, body
    if position != len(payload):
        raise LimitExceededError(f"more than {MAX_AGGREGATED_MESSAGES} messages in one aggregate")
