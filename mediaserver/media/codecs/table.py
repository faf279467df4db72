"""The facts about every codec in one table, so that no container repeats a switch over codecs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mediaserver.media.codecs import aac, av1, h264, hevc, opus, vp9
from mediaserver.media.codecs.description import AudioDescription, VideoDescription
from mediaserver.media.packet import Codec, Track, TrackKind

Description = VideoDescription | AudioDescription

MP3_SAMPLES: Final = 1152
AC3_SAMPLES: Final = 1536
ASSUMED_SAMPLE_RATE: Final = 44_100


@dataclass(frozen=True, slots=True)
class CodecFacts:
    """``four_cc`` is Enhanced RTMP's. ``describe`` reads the configuration; ``needs_config`` says whether
    packets can be decoded without one. ``transport_stream_type`` is None where MPEG-TS cannot carry it."""

    kind: TrackKind
    four_cc: str
    describe: Callable[[bytes], Description]
    needs_config: bool = True
    transport_stream_type: int | None = None


def _assume(codec_string: str, samples: int) -> Callable[[bytes], Description]:
    """For codecs whose every frame says it all: sample rate and channels as most have them."""
    description = AudioDescription(codec_string, ASSUMED_SAMPLE_RATE, 2, samples)
    return lambda _: description


CODECS: Final = {
    Codec.H264: CodecFacts(TrackKind.VIDEO, "avc1", h264.describe, transport_stream_type=0x1B),
    Codec.HEVC: CodecFacts(TrackKind.VIDEO, "hvc1", hevc.describe, transport_stream_type=0x24),
    Codec.AV1: CodecFacts(TrackKind.VIDEO, "av01", av1.describe),
    Codec.VP9: CodecFacts(TrackKind.VIDEO, "vp09", vp9.describe),
    Codec.AAC: CodecFacts(TrackKind.AUDIO, "mp4a", aac.describe, transport_stream_type=0x0F),
    Codec.OPUS: CodecFacts(TrackKind.AUDIO, "Opus", opus.describe, transport_stream_type=0x06),
    Codec.MP3: CodecFacts(TrackKind.AUDIO, ".mp3", _assume("mp3", MP3_SAMPLES), False, 0x03),
    Codec.AC3: CodecFacts(TrackKind.AUDIO, "ac-3", _assume("ac-3", AC3_SAMPLES), False, 0x81),
    Codec.FLAC: CodecFacts(TrackKind.AUDIO, "fLaC", _assume("flac", 0)),
}

BY_FOUR_CC: Final = {facts.four_cc: codec for codec, facts in CODECS.items()}


def describe(track: Track) -> Description:
    """What is known of ``track`` from its configuration. Raises CodecConfigError."""
    return describe_config(track.codec, track.config)


@lru_cache(maxsize=1024)
def describe_config(codec: Codec, config: bytes) -> Description:
    """As ``describe``, before there is a track."""
    return CODECS[codec].describe(config)


def primary(tracks: Sequence[Track], kind: TrackKind) -> Track | None:
    """The track of ``kind`` that single-track containers carry: the first one."""
    return next((track for track in tracks if track.kind is kind), None)
