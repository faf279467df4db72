"""Bodies of FLV audio and video tags (FLV 10.1, annex E; Enhanced RTMP v1 and v2): parse and serialize.

Rules:

* One body may hold several tracks (Enhanced RTMP multitrack), so parsing yields a list of tags; it has one
  element for everything an ordinary encoder sends.
* A codec is known by its FourCC whether the header was a legacy or an enhanced one. Tracks of multitrack
  bodies carry their ``track_id``; everything else is track 0.
* Payloads are what follows the headers: a decoder configuration record, or one coded frame.
* Whether a peer announced ``fourCcList`` makes no difference: OBS sends enhanced tags without it.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final, TypeVar

from rtmp.protocol.errors import FlvTagError, UnsupportedCodecError

AVC: Final = "avc1"
HEVC: Final = "hvc1"
VVC: Final = "vvc1"
AV1: Final = "av01"
VP9: Final = "vp09"
VP8: Final = "vp08"
AAC: Final = "mp4a"
OPUS: Final = "Opus"
MP3: Final = ".mp3"
AC3: Final = "ac-3"
EAC3: Final = "ec-3"
FLAC: Final = "fLaC"

LEGACY_VIDEO_CODECS: Final = {7: AVC, 12: HEVC, 13: AV1}
"""CodecID to FourCC. 12 and 13 were never standardized, yet some encoders send them in AVC's layout."""
LEGACY_AUDIO_CODECS: Final = {2: MP3, 10: AAC, 14: MP3}
"""SoundFormat to FourCC; 14 is MP3 at 8 kHz."""

MAX_MODIFIERS: Final = 8
"""ModEx headers in front of one packet."""
MAX_TRACKS: Final = 64
"""Tracks in one multitrack body."""

_VIDEO_WITH_COMPOSITION_TIME: Final = frozenset((AVC, HEVC, VVC))
_KEYFRAME_TYPES: Final = frozenset((1, 4))
_COMMAND_FRAME: Final = 5
_ENHANCED_AUDIO: Final = 9


class PacketKind(Enum):
    SEQUENCE_START = "sequence start"
    """The payload is the decoder configuration record."""
    FRAME = "frame"
    SEQUENCE_END = "sequence end"
    METADATA = "metadata"
    """The payload is AMF0, such as HDR colour information."""
    OTHER = "other"
    """Well-formed but no frame: a multichannel layout, MPEG-2 TS descriptors."""


class VideoTag:
    """One video packet. Treat as immutable; slotted because it is built once per frame.

    ``composition_time`` is pts - dts in ms.
    """

    __slots__ = ("codec", "composition_time", "is_keyframe", "kind", "payload", "track_id")

    def __init__(
        self,
        codec: str,
        kind: PacketKind,
        is_keyframe: bool,
        composition_time: int,
        payload: bytes,
        track_id: int = 0,
    ) -> None:
        self.codec: Final = codec
        self.kind: Final = kind
        self.is_keyframe: Final = is_keyframe
        self.composition_time: Final = composition_time
        self.payload: Final = payload
        self.track_id: Final = track_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VideoTag) and _fields(self) == _fields(other)

    def __hash__(self) -> int:
        return hash(_fields(self))

    def __repr__(self) -> str:
        return f"VideoTag{_fields(self)!r}"


class AudioTag:
    """One audio packet. Treat as immutable; slotted because it is built once per frame."""

    __slots__ = ("codec", "kind", "payload", "track_id")

    def __init__(self, codec: str, kind: PacketKind, payload: bytes, track_id: int = 0) -> None:
        self.codec: Final = codec
        self.kind: Final = kind
        self.payload: Final = payload
        self.track_id: Final = track_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AudioTag) and _fields(self) == _fields(other)

    def __hash__(self) -> int:
        return hash(_fields(self))

    def __repr__(self) -> str:
        return f"AudioTag{_fields(self)!r}"


def _fields(tag: VideoTag | AudioTag) -> tuple[object, ...]:
    return tuple(getattr(tag, name) for name in tag.__slots__)


# Parsing.


def parse_video(body: bytes) -> list[VideoTag]:
    """The packets in a video tag body; an empty body has none.

    Raises FlvTagError when it is malformed and UnsupportedCodecError for a codec that is not listed here. Of
    several tracks, those of such codecs are left out unless no other is there.
    """
    if not body:
        return []
    first = body[0]
    if first & 0x80:
        return _parse_enhanced_video(body)
    if first >> 4 == _COMMAND_FRAME:
        return []
    codec = LEGACY_VIDEO_CODECS.get(first & 0x0F)
    if codec is None:
        raise UnsupportedCodecError(f"video codec id {first & 0x0F} is not supported")
    if len(body) < 5:
        raise FlvTagError(f"video tag of {len(body)} bytes is shorter than its header of 5")
    kind = _LEGACY_KINDS.get(body[1])
    if kind is None:
        raise FlvTagError(f"AVCPacketType {body[1]} in byte 1 is not 0, 1 or 2")
    composition_time = 0
    if kind is PacketKind.FRAME and codec in _VIDEO_WITH_COMPOSITION_TIME:
        composition_time = body[2] << 16 | body[3] << 8 | body[4]
        if composition_time & 0x800000:
            composition_time -= 0x1000000
    return [VideoTag(codec, kind, first >> 4 in _KEYFRAME_TYPES, composition_time, body[5:])]


def parse_audio(body: bytes) -> list[AudioTag]:
    """The packets in an audio tag body; an empty body has none. Raises what ``parse_video`` raises."""
    if not body:
        return []
    sound_format = body[0] >> 4
    if sound_format == _ENHANCED_AUDIO:
        return _parse_enhanced_audio(body)
    codec = LEGACY_AUDIO_CODECS.get(sound_format)
    if codec is None:
        raise UnsupportedCodecError(f"sound format {sound_format} is not supported")
    if codec != AAC:
        return [AudioTag(codec, PacketKind.FRAME, body[1:])]
    if len(body) < 2:
        raise FlvTagError("AAC tag without its packet type in byte 1")
    kind = _LEGACY_KINDS.get(body[1])
    if kind is None or kind is PacketKind.SEQUENCE_END:
        raise FlvTagError(f"AACPacketType {body[1]} in byte 1 is not 0 or 1")
    return [AudioTag(AAC, kind, body[2:])]


_LEGACY_KINDS: Final = {
    0: PacketKind.SEQUENCE_START,
    1: PacketKind.FRAME,
    2: PacketKind.SEQUENCE_END,
}

_CODED_FRAMES: Final = 1
_CODED_FRAMES_X: Final = 3
_VIDEO_METADATA: Final = 4
_MODIFIER: Final = 7
_VIDEO_MULTITRACK: Final = 6
_AUDIO_MULTITRACK: Final = 5

_VIDEO_KINDS: Final = {
    0: PacketKind.SEQUENCE_START,
    _CODED_FRAMES: PacketKind.FRAME,
    2: PacketKind.SEQUENCE_END,
    _CODED_FRAMES_X: PacketKind.FRAME,
    _VIDEO_METADATA: PacketKind.METADATA,
    5: PacketKind.OTHER,
}
_AUDIO_KINDS: Final = {
    0: PacketKind.SEQUENCE_START,
    _CODED_FRAMES: PacketKind.FRAME,
    2: PacketKind.SEQUENCE_END,
    4: PacketKind.OTHER,
}

_ONE_TRACK: Final = 0
_MANY_TRACKS: Final = 1
_MANY_TRACKS_MANY_CODECS: Final = 2


class _Reader:
    """Takes fields off a body; running out of bytes is a FlvTagError that names the field."""

    def __init__(self, body: bytes, position: int) -> None:
        self.body = body
        self.position = position

    @property
    def is_at_end(self) -> bool:
        return self.position >= len(self.body)

    def integer(self, size: int, field: str) -> int:
        return int.from_bytes(self.take(size, field), "big")

    def four_cc(self) -> str:
        return self.take(4, "FourCC").decode("latin-1")

    def take(self, size: int, field: str) -> bytes:
        end = self.position + size
        if end > len(self.body):
            raise FlvTagError(f"{field} at byte {self.position} needs {size} bytes; the tag ends before")
        taken = self.body[self.position : end]
        self.position = end
        return taken


Tag = TypeVar("Tag", VideoTag, AudioTag)

_VIDEO_CODECS: Final = frozenset((AVC, HEVC, VVC, AV1, VP9, VP8))
_AUDIO_CODECS: Final = frozenset((AAC, OPUS, MP3, AC3, EAC3, FLAC))


def _parse_enhanced_video(body: bytes) -> list[VideoTag]:
    frame_type = (body[0] >> 4) & 7
    reader = _Reader(body, 1)
    packet_type = _skip_modifiers(reader, body[0] & 0x0F)
    if frame_type == _COMMAND_FRAME and packet_type != _VIDEO_METADATA:
        return []
    is_keyframe = frame_type in _KEYFRAME_TYPES

    def make(codec: str, packet_type: int, payload: bytes, track_id: int) -> VideoTag:
        _require(_VIDEO_CODECS, codec)
        kind = _kind_of(_VIDEO_KINDS, packet_type, "VideoPacketType")
        composition_time = 0
        if packet_type == _CODED_FRAMES and codec in _VIDEO_WITH_COMPOSITION_TIME:
            if len(payload) < 3:
                raise FlvTagError("composition time needs 3 bytes; the packet ends before")
            composition_time = int.from_bytes(payload[:3], "big", signed=True)
            payload = payload[3:]
        return VideoTag(codec, kind, is_keyframe, composition_time, payload, track_id)

    return _parse_tracks(reader, packet_type, _VIDEO_MULTITRACK, make)


def _parse_enhanced_audio(body: bytes) -> list[AudioTag]:
    reader = _Reader(body, 1)
    packet_type = _skip_modifiers(reader, body[0] & 0x0F)

    def make(codec: str, packet_type: int, payload: bytes, track_id: int) -> AudioTag:
        _require(_AUDIO_CODECS, codec)
        return AudioTag(codec, _kind_of(_AUDIO_KINDS, packet_type, "AudioPacketType"), payload, track_id)

    return _parse_tracks(reader, packet_type, _AUDIO_MULTITRACK, make)


def _parse_tracks(
    reader: _Reader, packet_type: int, multitrack: int, make: Callable[[str, int, bytes, int], Tag]
) -> list[Tag]:
    """The packet behind the modifiers, or each packet of a multitrack body."""
    if packet_type != multitrack:
        codec = reader.four_cc()
        return [make(codec, packet_type, reader.body[reader.position :], 0)]
    layout_and_type = reader.integer(1, "multitrack type")
    layout, packet_type = layout_and_type >> 4, layout_and_type & 0x0F
    if layout > _MANY_TRACKS_MANY_CODECS:
        raise FlvTagError(f"multitrack type {layout} is not known")
    codec = reader.four_cc() if layout != _MANY_TRACKS_MANY_CODECS else ""
    tags: list[Tag] = []
    unsupported: UnsupportedCodecError | None = None
    for _ in range(MAX_TRACKS):
        track_codec = codec or reader.four_cc()
        track_id = reader.integer(1, "track id")
        size = len(reader.body) - reader.position
        if layout != _ONE_TRACK:
            size = reader.integer(3, "size of track")
        try:
            tags.append(make(track_codec, packet_type, reader.take(size, "track payload"), track_id))
        except UnsupportedCodecError as error:
            unsupported = error
        if reader.is_at_end:
            if unsupported is not None and not tags:
                raise unsupported
            return tags
    raise FlvTagError(f"more than {MAX_TRACKS} tracks in one tag")


def _require(codecs: frozenset[str], codec: str) -> None:
    if codec not in codecs:
        raise UnsupportedCodecError(f"codec {codec!r} is not supported")


def _kind_of(kinds: dict[int, PacketKind], packet_type: int, field: str) -> PacketKind:
    kind = kinds.get(packet_type)
    if kind is None:
        raise FlvTagError(f"{field} {packet_type} is not known")
    return kind


def _skip_modifiers(reader: _Reader, packet_type: int) -> int:
    """Skip ModEx headers by their declared length and return the packet type behind them."""
    for _ in range(MAX_MODIFIERS):
        if packet_type != _MODIFIER:
            return packet_type
        size = reader.integer(1, "modExDataSize") + 1
        if size == 256:
            size = reader.integer(2, "modExDataSize") + 1
        reader.take(size, "modExData")
        packet_type = reader.integer(1, "ModEx type") & 0x0F
    raise FlvTagError(f"more than {MAX_MODIFIERS} ModEx headers")


# Serializing.


def serialize_video(tag: VideoTag) -> bytes:
    """The shortest body that says what ``tag`` says: legacy for H.264 on track 0, enhanced for the rest."""
    return (
        video_header(tag.codec, tag.kind, tag.is_keyframe, tag.composition_time, tag.track_id) + tag.payload
    )


def serialize_audio(tag: AudioTag) -> bytes:
    """The shortest body that says what ``tag`` says: legacy for AAC and MP3 on track 0, else enhanced."""
    return audio_header(tag.codec, tag.kind, tag.track_id) + tag.payload


def video_header(
    codec: str, kind: PacketKind, is_keyframe: bool, composition_time: int, track_id: int = 0
) -> bytes:
    """What stands in front of the payload. Raises ValueError for a composition time over 24 bits."""
    frame_type = 1 if is_keyframe else 2
    if codec == AVC and track_id == 0 and kind in _LEGACY_PACKET_TYPES:
        time = _signed_24(composition_time if kind is PacketKind.FRAME else 0)
        return bytes((frame_type << 4 | 7, _LEGACY_PACKET_TYPES[kind])) + time
    time = b""
    packet_type = _VIDEO_PACKET_TYPES[kind]
    if kind is PacketKind.FRAME and codec in _VIDEO_WITH_COMPOSITION_TIME:
        if composition_time:
            time = _signed_24(composition_time)
        else:
            packet_type = _CODED_FRAMES_X
    first = 0x80 | frame_type << 4
    return _enhanced_header(first, packet_type, _VIDEO_MULTITRACK, codec, track_id) + time


def audio_header(codec: str, kind: PacketKind, track_id: int = 0) -> bytes:
    """What stands in front of the payload. The legacy headers say 44 kHz stereo, as players expect of AAC."""
    if track_id == 0 and codec == AAC and kind in (PacketKind.SEQUENCE_START, PacketKind.FRAME):
        return bytes((0xAF, _LEGACY_PACKET_TYPES[kind]))
    if track_id == 0 and codec == MP3 and kind is PacketKind.FRAME:
        return b"\x2f"
    first = _ENHANCED_AUDIO << 4
    return _enhanced_header(first, _AUDIO_PACKET_TYPES[kind], _AUDIO_MULTITRACK, codec, track_id)


def _enhanced_header(first: int, packet_type: int, multitrack: int, codec: str, track_id: int) -> bytes:
    four_cc = codec.encode("latin-1")
    if track_id == 0:
        return bytes((first | packet_type,)) + four_cc
    return bytes((first | multitrack, _ONE_TRACK << 4 | packet_type)) + four_cc + bytes((track_id,))


def _signed_24(value: int) -> bytes:
    if not -0x800000 <= value <= 0x7FFFFF:
        raise ValueError(f"composition time {value} ms does not fit in 24 bits")
    return (value & 0xFFFFFF).to_bytes(3, "big")


_LEGACY_PACKET_TYPES: Final = {kind: number for number, kind in _LEGACY_KINDS.items()}
_VIDEO_PACKET_TYPES: Final = {
    PacketKind.SEQUENCE_START: 0,
    PacketKind.FRAME: _CODED_FRAMES,
    PacketKind.SEQUENCE_END: 2,
    PacketKind.METADATA: _VIDEO_METADATA,
    PacketKind.OTHER: 5,
}
_AUDIO_PACKET_TYPES: Final = {
    PacketKind.SEQUENCE_START: 0,
    PacketKind.FRAME: _CODED_FRAMES,
    PacketKind.SEQUENCE_END: 2,
    PacketKind.OTHER: 4,
}
