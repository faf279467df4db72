"""Tracks and packets as FLV tag bodies: what an FLV file and an RTMP message have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final

from mediaserver.media.codecs import (
    CODECS,
    AudioDescription,
    VideoDescription,
    describe,
    primary,
)
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from rtmp.protocol.amf0 import EcmaArray, encode
from rtmp.protocol.flv_tags import PacketKind, audio_header, video_header

TAG_AUDIO: Final = 8
TAG_VIDEO: Final = 9
TAG_SCRIPT: Final = 18
"""RTMP's message types have the same numbers."""
TAG_TYPES: Final = {TrackKind.AUDIO: TAG_AUDIO, TrackKind.VIDEO: TAG_VIDEO}

METADATA_EVENT: Final = "onMetaData"
MAX_METADATA_FIELDS: Final = 64
MAX_METADATA_TEXT: Final = 256
MAX_CACHED_HEADERS: Final = 4096

_OWN_FIELDS: Final = frozenset(
    (
        *("videocodecid", "audiocodecid", "audiosamplerate", "audiosamplesize", "stereo"),
        *("duration", "filesize", "lasttimestamp", "canSeekToEnd", "hasAudio", "hasVideo", "hasKeyframes"),
    )
)
"""Said by us where they hold: a publisher's may be about a file, or a track it never sends."""

_LEGACY_CODEC_IDS: Final = {Codec.H264: 7.0, Codec.AAC: 10.0, Codec.MP3: 2.0}


def carried_tracks(tracks: Sequence[Track]) -> tuple[Track, ...]:
    """The primary video and audio: FLV players know no others."""
    found = (primary(tracks, kind) for kind in TrackKind)
    return tuple(track for track in found if track is not None)


def metadata_body(tracks: Sequence[Track], metadata: Mapping[str, object]) -> bytes:
    """onMetaData with the publisher's plain values, and what the codecs say where they say it."""
    plain = (
        (name, value) for name, value in metadata.items() if name not in _OWN_FIELDS and _is_plain(value)
    )
    values = EcmaArray(dict(list(plain)[:MAX_METADATA_FIELDS]))
    for track in carried_tracks(tracks):
        values.update(_facts(track))
    return encode(METADATA_EVENT) + encode(values)


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_METADATA_TEXT
    return isinstance(value, bool | float | int)


def _facts(track: Track) -> dict[str, object]:
    four_cc = float(int.from_bytes(CODECS[track.codec].four_cc.encode("latin-1"), "big"))
    codec_id = _LEGACY_CODEC_IDS.get(track.codec, four_cc)
    description = describe(track)
    if isinstance(description, AudioDescription):
        return {
            "audiocodecid": codec_id,
            "audiosamplerate": float(description.sample_rate),
            "stereo": description.channels > 1,
        }
    return {"videocodecid": codec_id, **_picture_facts(description)}


def _picture_facts(description: VideoDescription) -> dict[str, object]:
    facts: dict[str, object] = {}
    if description.width:
        facts.update(width=float(description.width), height=float(description.height))
    if description.frame_rate:
        facts["framerate"] = float(description.frame_rate)
    return facts


def sequence_body(track: Track) -> bytes:
    """The sequence header of a track, empty for codecs that have none."""
    facts = CODECS[track.codec]
    if facts.config_of is not None:
        return b""
    four_cc = facts.four_cc
    if track.kind is TrackKind.VIDEO:
        return video_header(four_cc, PacketKind.SEQUENCE_START, True, 0) + track.config
    return audio_header(four_cc, PacketKind.SEQUENCE_START) + track.config


def milliseconds(ticks: int, clock_rate: int) -> int:
    """Ticks to ms, rounded to the nearest."""
    return (ticks * 2000 + clock_rate) // (2 * clock_rate)


class FlvBodyMuxer(ABC):
    """A Muxer whose packets are FLV tag bodies; what they are wrapped in is up to ``append_body``.

    Only the primary video and audio tracks are carried. A configuration of a codec without sequence header
    is in its frames.
    """

    mime_type: str

    def __init__(self) -> None:
        self.tracks: tuple[Track, ...] = ()
        self._tag_types: dict[int, int] = {}
        self._metadata_body = b""
        self._last_timestamp = 0
        self._frame_headers: dict[tuple[int, bool, int], bytes] = {}

    @abstractmethod
    def append_body(
        self, parts: list[bytes], tag_type: int, timestamp: int, header: bytes, payload: bytes
    ) -> None:
        """Append the body made of ``header`` and ``payload`` to ``parts``, wrapped for its way.

        ``timestamp`` is in ms, not wrapped yet.
        """

    @abstractmethod
    def header(self) -> bytes: ...

    def configure(self, tracks: Sequence[Track], metadata: Mapping[str, object]) -> bool:
        self.tracks = carried_tracks(tracks)
        self._tag_types = {track.id: TAG_TYPES[track.kind] for track in self.tracks}
        self._metadata_body = metadata_body(self.tracks, metadata)
        self._frame_headers.clear()
        return True

    def resumption(self) -> bytes:
        """onMetaData and the sequence headers, at the time of the last packet."""
        return self.sequence_headers(self._last_timestamp)

    def sequence_headers(self, timestamp: int) -> bytes:
        parts: list[bytes] = []
        self.append_body(parts, TAG_SCRIPT, timestamp, b"", self._metadata_body)
        for track in self.tracks:
            if body := sequence_body(track):
                self.append_body(parts, TAG_TYPES[track.kind], timestamp, b"", body)
        return b"".join(parts)

    def render(self, packets: Sequence[MediaPacket]) -> bytes:
        parts: list[bytes] = []
        tag_types, append_body = self._tag_types, self.append_body
        for packet in packets:
            track = packet.track
            tag_type = tag_types.get(track.id)
            if tag_type is not None:
                rate = track.clock_rate
                # milliseconds(), without a call per packet.
                timestamp = (packet.dts * 2000 + rate) // (2 * rate)
                append_body(parts, tag_type, timestamp, self._frame_header(packet, timestamp), packet.payload)
                self._last_timestamp = timestamp
        return b"".join(parts)

    def _frame_header(self, packet: MediaPacket, timestamp: int) -> bytes:
        """What stands in front of a coded frame, looked up instead of built: the same few recur for ever.

        ``timestamp`` is the packet's dts in ms as it is written, so that pts comes out right.
        """
        track = packet.track
        composition_time = 0
        if packet.pts != packet.dts:
            composition_time = milliseconds(packet.pts, track.clock_rate) - timestamp
        key = (track.id, packet.is_keyframe, composition_time)
        header = self._frame_headers.get(key)
        if header is None:
            header = frame_header(track, packet.is_keyframe, composition_time)
            if len(self._frame_headers) < MAX_CACHED_HEADERS:
                self._frame_headers[key] = header
        return header


def frame_header(track: Track, is_keyframe: bool, composition_time: int) -> bytes:
    """The header of a coded frame's body; ``composition_time`` is pts - dts in ms."""
    four_cc = CODECS[track.codec].four_cc
    if track.kind is TrackKind.AUDIO:
        return audio_header(four_cc, PacketKind.FRAME)
    return video_header(four_cc, PacketKind.FRAME, is_keyframe, composition_time)
