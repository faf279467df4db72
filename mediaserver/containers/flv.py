"""FLV (Adobe FLV 10.1, annex E), with enhanced tags for codecs that FLV never knew."""

from struct import Struct
from typing import Final

from mediaserver.containers.flv_bodies import FlvBodyMuxer
from mediaserver.media.packet import TrackKind

TAG_HEADER_SIZE: Final = 11

_HEADER: Final = Struct(">3sBBII")
_HAS_AUDIO: Final = 4
_HAS_VIDEO: Final = 1
_FLAGS: Final = {TrackKind.AUDIO: _HAS_AUDIO, TrackKind.VIDEO: _HAS_VIDEO}
# Type and 24-bit size in one word; timestamp, its upper byte and the stream id packed as 24+8+24 bits.
_TAG_HEADER: Final = Struct(">II3x")
_SIZE: Final = Struct(">I")


class FlvMuxer(FlvBodyMuxer):
    """A Muxer for files and for continuous streams over HTTP and WebSocket."""

    mime_type = "video/x-flv"

    def header(self) -> bytes:
        flags = sum(_FLAGS[track.kind] for track in self.tracks)
        return _HEADER.pack(b"FLV", 1, flags, 9, 0) + self.sequence_headers(0)

    def append_body(
        self, parts: list[bytes], tag_type: int, timestamp: int, header: bytes, payload: bytes
    ) -> None:
        """A tag and the size field behind it.

        ``timestamp`` is taken modulo 2**32; its lower 24 bits come first, the upper 8 behind them (E.4.1).
        """
        size = len(header) + len(payload)
        time_field = (timestamp & 0xFFFFFF) << 8 | (timestamp >> 24) & 0xFF
        parts += (
            _TAG_HEADER.pack(tag_type << 24 | size, time_field),
            header,
            payload,
            _SIZE.pack(size + TAG_HEADER_SIZE),
        )
