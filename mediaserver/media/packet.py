"""Tracks and packets: the words every gateway, container and output shares.

Rules:

* Times are integer ticks of ``track.clock_rate``, unwrapped and monotonic in dts, from ingest on. Only
  gateways and containers convert, in integers.
* A ``Track`` never changes. New codec configuration means a new ``Track`` with the same ``id``.
* Payloads are what ISO base media files store in a sample: length-prefixed NAL units for H.264 and HEVC,
  OBUs without temporal delimiters for AV1, raw AAC frames without ADTS, bare Opus packets.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class TrackKind(Enum):
    VIDEO = "video"
    AUDIO = "audio"


class Codec(Enum):
    """Codecs a stream can carry; the value is the lower-case name used in logs, metrics and the API."""

    H264 = "h264"
    HEVC = "hevc"
    AV1 = "av1"
    VP9 = "vp9"
    AAC = "aac"
    OPUS = "opus"
    MP3 = "mp3"
    AC3 = "ac3"
    FLAC = "flac"


@dataclass(frozen=True, slots=True)
class Track:
    """One elementary stream.

    ``id`` is unique within the stream: 0 is the primary video, 1 the primary audio, further tracks of a
    multitrack publisher count on from 2. ``config`` is the codec's decoder configuration as stored in the
    sample entry: avcC, hvcC, av1C or vpcC record (without the box header), AudioSpecificConfig, OpusHead,
    FLAC metadata blocks, dac3; for MP3 the header of a frame.
    """

    id: int
    kind: TrackKind
    codec: Codec
    clock_rate: int
    config: bytes


class MediaPacket:
    """One coded frame. Treat as immutable: every output of a stream sees the same object.

    ``dts`` and ``pts`` are ticks of ``track.clock_rate``; ``received_at`` is seconds of the event loop's
    clock at the moment the last byte arrived. A plain slotted class, because a frozen dataclass costs four
    times as much to build and this happens once per frame of every stream.
    """

    __slots__ = ("dts", "is_keyframe", "payload", "pts", "received_at", "track")

    def __init__(
        self, track: Track, dts: int, pts: int, is_keyframe: bool, payload: bytes, received_at: float
    ) -> None:
        self.track: Final = track
        self.dts: Final = dts
        self.pts: Final = pts
        self.is_keyframe: Final = is_keyframe
        self.payload: Final = payload
        self.received_at: Final = received_at

    def __repr__(self) -> str:
        return (
            f"MediaPacket(track={self.track.id}, dts={self.dts}, pts={self.pts}, "
            f"is_keyframe={self.is_keyframe}, payload=<{len(self.payload)} bytes>)"
        )
