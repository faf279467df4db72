"""A clip cut into RTMP chunks once, so that all publishers send the same bytes and cost next to nothing.

Every message but the first on each chunk stream has a type 1 header, whose timestamp is a delta (RTMP 1.0,
5.3.1.2.2): the same bytes are right in every repetition. Only stamps differ, and they are spliced in.
"""

from dataclasses import dataclass
from typing import Final

from bench.media.clip import AUDIO, AVC_HEADER_BYTES, SCRIPT, VIDEO, Clip, ClipTag
from bench.media.stamps import SEI_LENGTH, SEI_PREFIX, SEI_SUFFIX, serialize_stamp
from rtmp.protocol.chunks import serialize_message
from rtmp.protocol.messages import ChunkStreamId, MessageType, serialize_word

MINIMUM_CHUNK_SIZE: Final = 128
MAX_CHUNK_SIZE: Final = 65_536
DEFAULT_CHUNK_SIZE: Final = 4096
"""What OBS uses."""
MAX_DELTA: Final = 0xFFFFFE

TYPE_1: Final = 0x40
TYPE_3: Final = 0xC0
NAL_LENGTH_BYTES: Final = 4
NAL_TYPE_MASK: Final = 0x1F
ACCESS_UNIT_DELIMITER: Final = 9
AVCC_LENGTH_SIZE: Final = 4
NO_DIGITS: Final = serialize_stamp(0, 0)

CHUNK_STREAMS: Final = {AUDIO: ChunkStreamId.AUDIO, VIDEO: ChunkStreamId.VIDEO, SCRIPT: ChunkStreamId.DATA}
SET_DATA_FRAME: Final = b"\x02\x00\x0d@setDataFrame"
"""The AMF0 string that a publisher puts before onMetaData."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message as chunks, due ``at`` ms after the beginning of a repetition.

    What is sent is ``head``, then the digits of a stamp, then ``tail``; without a stamp ``tail`` is empty and
    the digits are left out.
    """

    at: int
    head: bytes
    tail: bytes

    def serialize(self, sequence: int, microseconds: int) -> bytes:
        if not self.tail:
            return self.head
        return b"".join((self.head, serialize_stamp(sequence, microseconds), self.tail))


@dataclass(frozen=True, slots=True)
class Replay:
    """``opening``, then ``first`` once, then ``again`` every ``period`` ms."""

    opening: bytes
    first: tuple[Frame, ...]
    again: tuple[Frame, ...]
    period: int


def cut_clip(clip: Clip, message_stream_id: int, chunk_size: int = DEFAULT_CHUNK_SIZE) -> Replay:
    """Cut ``clip`` into chunks for ``message_stream_id``. H.264 frames get stamps, other codecs none."""
    can_stamp = any(_has_four_byte_lengths(tag) for tag in clip.configuration)
    bodies = [_stampable(tag) if can_stamp and tag.is_avc else tag.body for tag in clip.tags]
    again: list[Frame] = []
    first: list[Frame] = []
    previous: dict[int, int] = {}
    last = {tag.kind: tag.timestamp for tag in clip.tags}
    for tag, body in zip(clip.tags, bodies, strict=True):
        delta = tag.timestamp - previous.get(tag.kind, last[tag.kind] - clip.period)
        again.append(_frame(tag, _delta_message(tag.kind, delta, body, chunk_size)))
        if tag.kind in previous:
            first.append(again[-1])
        else:
            first.append(_frame(tag, _full_message(tag, body, message_stream_id, chunk_size)))
        previous[tag.kind] = tag.timestamp
    return Replay(_opening(clip, message_stream_id, chunk_size), tuple(first), tuple(again), clip.period)


def _opening(clip: Clip, message_stream_id: int, chunk_size: int) -> bytes:
    """Set Chunk Size, then metadata and sequence headers."""
    parts = [
        serialize_message(
            ChunkStreamId.CONTROL, 0, MessageType.SET_CHUNK_SIZE, 0, serialize_word(chunk_size), chunk_size
        )
    ]
    for tag in clip.configuration:
        body = SET_DATA_FRAME + tag.body if tag.kind == SCRIPT else tag.body
        parts.append(_full_message(tag, body, message_stream_id, chunk_size))
    return b"".join(parts)


def _full_message(tag: ClipTag, body: bytes, message_stream_id: int, chunk_size: int) -> bytes:
    timestamp = 0 if tag.is_configuration else tag.timestamp
    chunk_stream_id = CHUNK_STREAMS[tag.kind]
    return serialize_message(chunk_stream_id, timestamp, tag.kind, message_stream_id, body, chunk_size)


def _delta_message(kind: int, delta: int, body: bytes, chunk_size: int) -> bytes:
    """A message with a type 1 header and type 3 chunks after it."""
    chunk_stream_id = CHUNK_STREAMS[kind]
    delta = min(max(delta, 0), MAX_DELTA)
    header = bytes((TYPE_1 | chunk_stream_id,)) + delta.to_bytes(3, "big") + len(body).to_bytes(3, "big")
    chunks = [body[start : start + chunk_size] for start in range(0, len(body), chunk_size)]
    return header + bytes((kind,)) + bytes((TYPE_3 | chunk_stream_id,)).join(chunks)


def _frame(tag: ClipTag, message: bytes) -> Frame:
    """Split ``message`` where its stamp's digits are."""
    mark = SEI_PREFIX + NO_DIGITS
    at = message.find(mark)
    if at < 0:
        return Frame(tag.timestamp, message, b"")
    begin = at + len(SEI_PREFIX)
    return Frame(tag.timestamp, message[:begin], message[begin + len(NO_DIGITS) :])


def _has_four_byte_lengths(tag: ClipTag) -> bool:
    """Whether ``tag`` is an avcC record (ISO 14496-15, 5.3.3.1) with NAL unit lengths of four bytes."""
    record = tag.body[AVC_HEADER_BYTES:]
    return tag.is_avc and len(record) > AVCC_LENGTH_SIZE and record[AVCC_LENGTH_SIZE] & 3 == 3


def _stampable(tag: ClipTag) -> bytes:
    """The body with an empty stamp before its first NAL unit, or after the access unit delimiter."""
    begin = AVC_HEADER_BYTES
    first = int.from_bytes(tag.body[begin : begin + NAL_LENGTH_BYTES], "big")
    nal_header = tag.body[begin + NAL_LENGTH_BYTES : begin + NAL_LENGTH_BYTES + 1]
    if nal_header and nal_header[0] & NAL_TYPE_MASK == ACCESS_UNIT_DELIMITER:
        begin += NAL_LENGTH_BYTES + first
    stamp = SEI_LENGTH.to_bytes(NAL_LENGTH_BYTES, "big") + SEI_PREFIX + NO_DIGITS + SEI_SUFFIX
    return tag.body[:begin] + stamp + tag.body[begin:]
