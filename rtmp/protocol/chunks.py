"""The chunk stream: messages out of bytes and bytes out of messages (RTMP 1.0, section 5.3).

Rules:

* ``ChunkReader`` holds back no more than an unfinished chunk header. Payload goes into its message the moment
  it arrives, so a header that promises ten megabytes costs nothing until they come.
* Set Chunk Size and Abort change how the following bytes are read: the reader obeys them itself and also
  hands them on like every other message.
* A run of full chunks of one message, with nothing interleaved, is taken in one slice, and the headers
  between them are deleted in one more. The cost of a message does not depend on the peer's chunk size.
* A type 3 chunk that begins a message applies the previous delta again; after a type 0 header that is its
  timestamp, as section 5.3.1.2.4 says and ffmpeg sends.
* A type 3 chunk should repeat the extended timestamp, but old librtmp leaves it out: the four bytes
  are consumed only when they equal the one in the last full header.
* A type 1 header may open a chunk stream (librtmp pings); its delta counts from zero.
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Final

from rtmp.protocol.errors import ChunkError, LimitExceededError
from rtmp.protocol.messages import MessageType

DEFAULT_CHUNK_SIZE: Final = 128
"""Chunk size of either direction until Set Chunk Size says otherwise, bytes."""
MAX_CHUNK_STREAM_ID: Final = 65599
EXTENDED_TIMESTAMP: Final = 0xFFFFFF
"""The 24-bit timestamp field that announces a 32-bit one behind the message header."""
SPECIFIED_MAX_CHUNK_SIZE: Final = 0xFFFFFF
"""Larger chunk sizes are legal and mean the same (section 5.4.1)."""

_MAX_RUN = 512
"""Chunks taken in one slice; bounds the work wasted when the run turns out to be interleaved."""

_MESSAGE_HEADER_SIZES = (11, 7, 3, 0)
_WORD = Struct(">I")
_LITTLE_WORD = Struct("<I")
_TIMESTAMP_LENGTH_TYPE = Struct(">HBHBB")

Deliver = Callable[[int, int, int, bytes], None]
"""Called with (message type id, timestamp in ms modulo 2**32, message stream id, payload)."""


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """What a peer may make us hold."""

    max_chunk_size: int = SPECIFIED_MAX_CHUNK_SIZE
    """Largest Set Chunk Size, bytes."""
    max_message_size: int = 10 * 1024 * 1024
    """Largest message, bytes."""
    max_chunk_streams: int = 64
    """Chunk streams in use on one connection."""
    max_buffered_bytes: int = 16 * 1024 * 1024
    """Bytes of unfinished messages of all chunk streams together."""


class _ChunkStream:
    """The last header of one chunk stream, and the message under way on it."""

    __slots__ = (
        "assembly",
        "continuation",
        "extended_timestamp",
        "message_length",
        "message_stream_id",
        "timestamp",
        "timestamp_delta",
        "type_id",
    )

    def __init__(self, continuation: bytes) -> None:
        self.assembly = bytearray()
        self.continuation = continuation
        self.extended_timestamp = b""
        self.message_length = -1
        self.message_stream_id = 0
        self.timestamp = 0
        self.timestamp_delta = 0
        self.type_id = 0


class ChunkReader:
    """Turns received bytes into messages.

    ``deliver`` is called for each message in the order of completion. Whatever it raises passes through
    ``receive``, as do ChunkError and LimitExceededError; after either the reader must not be used again.
    """

    def __init__(self, deliver: Deliver, limits: ChunkLimits | None = None) -> None:
        self._deliver = deliver
        self._limits = limits or ChunkLimits()
        self.max_message_size = self._limits.max_message_size
        """The limit in force: may be changed at any time, and holds from the next header on."""
        self.max_buffered_bytes = self._limits.max_buffered_bytes
        """As above, for unfinished messages together; it holds from the next chunk on."""
        self._chunk_size = DEFAULT_CHUNK_SIZE
        self._streams: dict[int, _ChunkStream] = {}
        self._current = _ChunkStream(b"")
        self._is_inside_chunk = False
        self._chunk_remaining = 0
        self._header_fragment = b""
        self._buffered = 0

    @property
    def buffered_bytes(self) -> int:
        """Bytes held for messages and headers that are not complete."""
        return self._buffered + len(self._header_fragment)

    def receive(self, data: bytes) -> None:
        if self._header_fragment:
            data = self._header_fragment + data
            self._header_fragment = b""
        position = 0
        end = len(data)
        while position < end:
            if not self._is_inside_chunk:
                after_header = self._read_header(data, position, end)
                if after_header < 0:
                    self._header_fragment = data[position:]
                    return
                position = after_header
            position = self._read_payload(self._current, data, position, end)

    def _read_header(self, data: bytes, position: int, end: int) -> int:
        """Read one chunk header and return the position behind it, or -1 if it is not all there."""
        header_type = data[position] >> 6
        chunk_stream_id = data[position] & 0x3F
        position += 1
        if chunk_stream_id < 2:
            extra_bytes = chunk_stream_id + 1
            if position + extra_bytes > end:
                return -1
            chunk_stream_id = 64 + int.from_bytes(data[position : position + extra_bytes], "little")
            position += extra_bytes
        after_header = position + _MESSAGE_HEADER_SIZES[header_type]
        if after_header > end:
            return -1
        stream = self._streams.get(chunk_stream_id)
        if stream is None:
            stream = self._open_stream(chunk_stream_id, header_type)
        if header_type == 3:
            return self._continue_stream(stream, data, position, end)
        return self._apply_header(stream, header_type, data, position, after_header, end)

    def _open_stream(self, chunk_stream_id: int, header_type: int) -> _ChunkStream:
        if header_type > 1:
            raise ChunkError(
                f"type {header_type} chunk on chunk stream {chunk_stream_id}, which has no header yet"
            )
        if len(self._streams) >= self._limits.max_chunk_streams:
            raise LimitExceededError(f"more than {self._limits.max_chunk_streams} chunk streams")
        stream = _ChunkStream(_basic_header(3, chunk_stream_id))
        self._streams[chunk_stream_id] = stream
        return stream

    def _apply_header(
        self, stream: _ChunkStream, header_type: int, data: bytes, position: int, after_header: int, end: int
    ) -> int:
        """Apply a message header of type 0, 1 or 2 whose fixed part is at ``position``."""
        # Reading a word that starts one byte early yields the 24-bit field without a slice.
        field = _WORD.unpack_from(data, position - 1)[0] & 0xFFFFFF
        extended = b""
        if field == EXTENDED_TIMESTAMP:
            if after_header + 4 > end:
                return -1
            extended = data[after_header : after_header + 4]
            field = int.from_bytes(extended, "big")
            after_header += 4
        if stream.assembly:
            raise ChunkError(f"type {header_type} chunk header in the middle of a message")
        if header_type < 2:
            length_and_type = _WORD.unpack_from(data, position + 3)[0]
            stream.type_id = length_and_type & 0xFF
            stream.message_length = self._checked_length(length_and_type >> 8)
        if header_type == 0:
            stream.message_stream_id = _LITTLE_WORD.unpack_from(data, position + 7)[0]
            stream.timestamp = 0
        stream.extended_timestamp = extended
        stream.timestamp_delta = field
        stream.timestamp = (stream.timestamp + field) & 0xFFFFFFFF
        self._begin_chunk(stream)
        return after_header

    def _continue_stream(self, stream: _ChunkStream, data: bytes, position: int, end: int) -> int:
        """Apply a type 3 header whose basic header ends at ``position``."""
        extended = stream.extended_timestamp
        if extended:
            found = data[position : position + 4]
            if found == extended:
                position += 4
            elif position + 4 > end and extended.startswith(found):
                return -1
        if not stream.assembly:
            stream.timestamp = (stream.timestamp + stream.timestamp_delta) & 0xFFFFFFFF
        self._begin_chunk(stream)
        return position

    def _checked_length(self, length: int) -> int:
        if length > self.max_message_size:
            raise LimitExceededError(
                f"message length {length} is over the limit of {self.max_message_size} bytes"
            )
        return length

    def _begin_chunk(self, stream: _ChunkStream) -> None:
        self._current = stream
        self._is_inside_chunk = True
        self._chunk_remaining = min(self._chunk_size, stream.message_length - len(stream.assembly))

    def _read_payload(self, stream: _ChunkStream, data: bytes, position: int, end: int) -> int:
        """Take payload of the current chunk, and more of the same message; return the position behind it."""
        length = stream.message_length
        assembly = stream.assembly
        remaining = self._chunk_remaining
        if not assembly and remaining == length and position + length <= end:
            self._is_inside_chunk = False
            self._check_buffered(length)
            self._finish(stream, data[position : position + length])
            return position + length
        if len(assembly) + remaining < length and end - position > remaining:
            position = self._read_run(stream, data, position, end)
            remaining = self._chunk_remaining
        taken = min(remaining, end - position)
        self._buffer(assembly, data[position : position + taken])
        self._chunk_remaining = remaining - taken
        if self._chunk_remaining == 0:
            self._is_inside_chunk = False
            if len(assembly) == length:
                self._finish_assembly(stream)
        return position + taken

    def _read_run(self, stream: _ChunkStream, data: bytes, position: int, end: int) -> int:
        """Take as many full chunks, each with a one-byte header behind it, as follow each other."""
        continuation = stream.continuation
        chunk_size = self._chunk_size
        if self._chunk_remaining != chunk_size or len(continuation) > 1 or stream.extended_timestamp:
            return position
        stride = chunk_size + 1
        missing = stream.message_length - len(stream.assembly)
        count = min((missing - 1) // chunk_size, (end - position) // stride, _MAX_RUN)
        after_run = position + count * stride
        if data[position + chunk_size : after_run : stride] != continuation * count:
            return position
        payload = bytearray(data[position:after_run])
        del payload[chunk_size::stride]
        self._buffer(stream.assembly, payload)
        self._begin_chunk(stream)
        return after_run

    def _buffer(self, assembly: bytearray, payload: bytes | bytearray) -> None:
        self._check_buffered(len(payload))
        self._buffered += len(payload)
        assembly += payload

    def _check_buffered(self, size: int) -> None:
        limit = self.max_buffered_bytes
        if self._buffered + size > limit:
            raise LimitExceededError(f"unfinished messages are over the limit of {limit} bytes")

    def _finish_assembly(self, stream: _ChunkStream) -> None:
        payload = bytes(stream.assembly)
        self._discard(stream)
        self._finish(stream, payload)

    def _discard(self, stream: _ChunkStream) -> None:
        self._buffered -= len(stream.assembly)
        stream.assembly = bytearray()

    def _finish(self, stream: _ChunkStream, payload: bytes) -> None:
        if stream.type_id == MessageType.SET_CHUNK_SIZE:
            self._set_chunk_size(payload)
        elif stream.type_id == MessageType.ABORT:
            self._abort(payload)
        self._deliver(stream.type_id, stream.timestamp, stream.message_stream_id, payload)

    def _set_chunk_size(self, payload: bytes) -> None:
        size = _control_value("Set Chunk Size", payload)
        if not 1 <= size <= 0x7FFFFFFF:
            raise ChunkError(f"Set Chunk Size {size} is not between 1 and 2147483647")
        size = min(size, SPECIFIED_MAX_CHUNK_SIZE)
        if size > self._limits.max_chunk_size:
            raise LimitExceededError(
                f"Set Chunk Size {size} is over the limit of {self._limits.max_chunk_size} bytes"
            )
        self._chunk_size = size

    def _abort(self, payload: bytes) -> None:
        stream = self._streams.get(_control_value("Abort", payload))
        if stream is not None:
            self._discard(stream)


def _control_value(name: str, payload: bytes) -> int:
    if len(payload) != 4:
        raise ChunkError(f"{name} of {len(payload)} bytes instead of 4")
    return int.from_bytes(payload, "big")


def _basic_header(header_type: int, chunk_stream_id: int) -> bytes:
    """Serialize a chunk basic header in its shortest form (section 5.3.1.1)."""
    first = header_type << 6
    if 2 <= chunk_stream_id <= 63:
        return bytes((first | chunk_stream_id,))
    if 64 <= chunk_stream_id <= 319:
        return bytes((first, chunk_stream_id - 64))
    if 320 <= chunk_stream_id <= MAX_CHUNK_STREAM_ID:
        return bytes((first | 1,)) + (chunk_stream_id - 64).to_bytes(2, "little")
    raise ValueError(f"chunk stream id {chunk_stream_id} is not between 2 and {MAX_CHUNK_STREAM_ID}")


def serialize_message(
    chunk_stream_id: int,
    timestamp: int,
    type_id: int,
    message_stream_id: int,
    payload: bytes | memoryview,
    chunk_size: int,
) -> bytes:
    """Cut one message into chunks of ``chunk_size``, the first with a type 0 header.

    The bytes depend on nothing sent before, so they can be shared by all peers that were told the same
    chunk size, and whole results may be interleaved freely. ``timestamp`` in ms is taken modulo 2**32. Raises
    ValueError for a chunk stream id out of range and struct.error for a payload of 16 MiB or more.
    """
    timestamp &= 0xFFFFFFFF
    length = len(payload)
    extended = b""
    field = timestamp
    if timestamp >= EXTENDED_TIMESTAMP:
        extended = _WORD.pack(timestamp)
        field = EXTENDED_TIMESTAMP
    header = b"".join(
        (
            _basic_header(0, chunk_stream_id),
            _TIMESTAMP_LENGTH_TYPE.pack(field >> 8, field & 0xFF, length >> 8, length & 0xFF, type_id),
            _LITTLE_WORD.pack(message_stream_id),
            extended,
        )
    )
    if length <= chunk_size:
        return b"".join((header, payload))
    continuation = _basic_header(3, chunk_stream_id) + extended
    parts: list[bytes | memoryview] = [header, payload[:chunk_size]]
    for start in range(chunk_size, length, chunk_size):
        parts += (continuation, payload[start : start + chunk_size])
    return b"".join(parts)
