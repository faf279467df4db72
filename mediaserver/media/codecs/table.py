"""The facts about every codec in one table, so that no container repeats a switch over codecs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mediaserver.media.codecs import aac, ac3, av1, flac, h264, hevc, mp3, opus, vp9
from mediaserver.media.codecs.description import AudioDescription, VideoDescription
from mediaserver.media.errors import CodecConfigError
from mediaserver.media.packet import Codec, Track, TrackKind

Description = VideoDescription | AudioDescription

MAX_CONFIG_SIZE: Final = 64 * 1024
"""Bytes; configurations are kept as long as their track and in a cache besides."""


@dataclass(frozen=True, slots=True)
class CodecFacts:
    """``four_cc`` is Enhanced RTMP's. ``describe`` reads the configuration. ``config_of`` is there for codecs
    whose frames say it all: it makes a configuration for our own use out of the first frame.
    ``transport_stream_type`` is None where MPEG-TS cannot carry the codec."""

    kind: TrackKind
    four_cc: str
    describe: Callable[[bytes], Description]
    transport_stream_type: int | None = None
    config_of: Callable[[bytes], bytes] | None = None


CODECS: Final = {
    Codec.H264: CodecFacts(TrackKind.VIDEO, "avc1", h264.describe, 0x1B),
    Codec.HEVC: CodecFacts(TrackKind.VIDEO, "hvc1", hevc.describe, 0x24),
    Codec.AV1: CodecFacts(TrackKind.VIDEO, "av01", av1.describe),
    Codec.VP9: CodecFacts(TrackKind.VIDEO, "vp09", vp9.describe),
    Codec.AAC: CodecFacts(TrackKind.AUDIO, "mp4a", aac.describe, 0x0F),
    Codec.OPUS: CodecFacts(TrackKind.AUDIO, "Opus", opus.describe, 0x06),
    Codec.MP3: CodecFacts(TrackKind.AUDIO, ".mp3", mp3.describe, 0x03, mp3.config_of),
    Codec.AC3: CodecFacts(TrackKind.AUDIO, "ac-3", ac3.describe, 0x81, ac3.config_of),
    Codec.FLAC: CodecFacts(TrackKind.AUDIO, "fLaC", flac.describe),
}

BY_FOUR_CC: Final = {facts.four_cc: codec for codec, facts in CODECS.items()}


def describe(track: Track) -> Description:
    """What is known of ``track`` from its configuration. Raises CodecConfigError."""
    return describe_config(track.codec, track.config)


@lru_cache(maxsize=256)
def describe_config(codec: Codec, config: bytes) -> Description:
    """As ``describe``, before there is a track."""
    if len(config) > MAX_CONFIG_SIZE:
        raise CodecConfigError(f"configuration of {len(config)} bytes is over {MAX_CONFIG_SIZE}")
    return CODECS[codec].describe(config)


def primary(tracks: Sequence[Track], kind: TrackKind) -> Track | None:
    """The track of ``kind`` that single-track containers carry: the first one."""
    return next((track for track in tracks if track.kind is kind), None)
