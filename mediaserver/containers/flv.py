"""FLV (Adobe FLV 10.1, annex E), with enhanced tags for codecs that FLV never knew."""

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Final

from mediaserver.containers.flv_bodies import (
    FrameHeaders,
    carried_tracks,
    metadata_body,
    sequence_body,
)
from mediaserver.media.packet import MediaPacket, Track, TrackKind

TAG_AUDIO: Final = 8
TAG_VIDEO: Final = 9
TAG_SCRIPT: Final = 18
TAG_HEADER_SIZE: Final = 11

_HEADER: Final = Struct(">3sBBII")
_HAS_AUDIO: Final = 4
_HAS_VIDEO: Final = 1
_FLAGS: Final = {TrackKind.AUDIO: _HAS_AUDIO, TrackKind.VIDEO: _HAS_VIDEO}
_TAG_TYPES: Final = {TrackKind.AUDIO: TAG_AUDIO, TrackKind.VIDEO: TAG_VIDEO}
# Type and 24-bit size in one word; timestamp, its upper byte and the stream id packed as 24+8+24 bits.
_TAG_HEADER: Final = Struct(">II3s")
_SIZE: Final = Struct(">I")
_STREAM_ID: Final = b"\x00\x00\x00"


class FlvMuxer:
    """A Muxer. Only the primary video and audio tracks are carried."""

    mime_type = "video/x-flv"

    def __init__(self) -> None:
        self._frames = FrameHeaders()
        self._tracks: tuple[Track, ...] = ()
        self._carried: frozenset[int] = frozenset()
        self._metadata_body = b""
        self._last_timestamp = 0

    def configure(self, tracks: Sequence[Track], metadata: Mapping[str, object]) -> bool:
        self._tracks = carried_tracks(tracks)
        self._carried = frozenset(track.id for track in self._tracks)
        self._metadata_body = metadata_body(self._tracks, metadata)
        return True

    def header(self) -> bytes:
        flags = sum(_FLAGS[track.kind] for track in self._tracks)
        return _HEADER.pack(b"FLV", 1, flags, 9, 0) + self._sequence_headers(0)

    def resumption(self) -> bytes:
        return self._sequence_headers(self._last_timestamp)

    def render(self, packets: Sequence[MediaPacket]) -> bytes:
        parts: list[bytes] = []
        carried, header_of = self._carried, self._frames.of
        timestamp = self._last_timestamp
        for packet in packets:
            track = packet.track
            if track.id not in carried:
                continue
            rate = track.clock_rate
            timestamp = (packet.dts * 2000 + rate) // (2 * rate)
            header, payload = header_of(packet, timestamp), packet.payload
            size = len(header) + len(payload)
            parts += (
                _TAG_HEADER.pack(_TAG_TYPES[track.kind] << 24 | size, _time_field(timestamp), _STREAM_ID),
                header,
                payload,
                _SIZE.pack(size + TAG_HEADER_SIZE),
            )
        self._last_timestamp = timestamp
        return b"".join(parts)

    def _sequence_headers(self, timestamp: int) -> bytes:
        """onMetaData and the sequence headers."""
        bodies = ((_TAG_TYPES[track.kind], sequence_body(track)) for track in self._tracks)
        tags = [serialize_tag(tag_type, timestamp, body) for tag_type, body in bodies if body]
        return b"".join((serialize_tag(TAG_SCRIPT, timestamp, self._metadata_body), *tags))


def serialize_tag(tag_type: int, timestamp: int, body: bytes) -> bytes:
    """One tag with the size field behind it. ``timestamp`` in ms is taken modulo 2**32."""
    head = _TAG_HEADER.pack(tag_type << 24 | len(body), _time_field(timestamp), _STREAM_ID)
    return b"".join((head, body, _SIZE.pack(len(body) + TAG_HEADER_SIZE)))


def _time_field(timestamp: int) -> int:
    """The lower 24 bits come first, the upper 8 behind them (E.4.1)."""
    return (timestamp & 0xFFFFFF) << 8 | (timestamp >> 24) & 0xFF
