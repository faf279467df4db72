"""Really encoded media as packets of ours, and reading containers back with a demuxer that is not ours."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Final, cast

import av
from av.audio import AudioStream
from av.container import InputContainer, OutputContainer
from av.video import VideoStream
from av.video.frame import PictureType

from mediaserver.media.codecs import CODECS
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind

WIDTH: Final = 160
HEIGHT: Final = 120
FRAME_RATE: Final = 25
GOP_FRAMES: Final = 10
FRAMES: Final = 30
SAMPLE_RATE: Final = 48_000
VIDEO_CLOCK_RATE: Final = 90_000

# vpcC of profile 0, level 1, 8 bit; PyAV does not show the one in the file.
_VP9_CONFIG: Final = bytes.fromhex("000a820202020000")
_FLAC_STREAM_INFO: Final = bytes.fromhex("664c614380000022")

_ENCODERS: Final[dict[Codec, tuple[str, dict[str, str]]]] = {
    Codec.H264: ("libx264", {"preset": "ultrafast", "x264-params": "log-level=error"}),
    Codec.HEVC: ("libx265", {"preset": "ultrafast", "x265-params": "log-level=error:bframes=2"}),
    Codec.AV1: ("libsvtav1", {"preset": "12", "svtav1-params": "lp=1"}),
    Codec.VP9: ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    Codec.AAC: ("aac", {}),
    Codec.OPUS: ("libopus", {}),
    Codec.MP3: ("libmp3lame", {}),
    Codec.AC3: ("ac3", {}),
    Codec.FLAC: ("flac", {}),
}


@dataclass(frozen=True)
class Encoded:
    """Tracks, and their packets in the order of publishing."""

    tracks: tuple[Track, ...]
    packets: tuple[MediaPacket, ...]

    def of(self, kind: TrackKind) -> list[MediaPacket]:
        return [packet for packet in self.packets if packet.track.kind is kind]


@dataclass
class Demuxed:
    """One stream of a container as PyAV reads it. Times are seconds."""

    codec: str
    config: bytes
    payloads: list[bytes] = field(default_factory=list)
    times: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    """(pts, dts) of each payload."""


@lru_cache
def encode(video: Codec | None, audio: Codec | None, b_frames: int = 0) -> Encoded:
    """A little more than a second of test picture and tone, with a keyframe every ten frames."""
    buffer = io.BytesIO()
    # As their own elementary streams: these two have no mapping to MP4 that all versions write.
    name = "matroska" if audio in (Codec.MP3, Codec.FLAC) else "mp4"
    with av.open(buffer, "w", format=name) as sink:
        # All streams have to be there before the first packet.
        pictures = _add_video(sink, video, b_frames) if video is not None else None
        sounds = _add_audio(sink, audio) if audio is not None else None
        if pictures is not None:
            _encode_video(sink, pictures)
        if sounds is not None:
            _encode_audio(sink, sounds)
    buffer.seek(0)
    with av.open(buffer, "r") as source:
        return _read(source, [codec for codec in (video, audio) if codec is not None])


def demux(data: bytes, container: str) -> list[Demuxed]:
    """The streams in ``data``, in the order of their appearance."""
    with av.open(io.BytesIO(data), "r", format=container) as source:
        found = {
            stream.index: Demuxed(stream.codec_context.name, stream.codec_context.extradata or b"")
            for stream in source.streams
        }
        for packet in source.demux():
            if packet.pts is None or packet.dts is None:
                continue
            demuxed = found[packet.stream_index]
            demuxed.payloads.append(bytes(packet))
            demuxed.times.append((packet.pts * packet.time_base, packet.dts * packet.time_base))
        return list(found.values())


def decoded_frames(data: bytes, container: str) -> int:
    """How many pictures a decoder makes of ``data``. Raises av.FFmpegError where it finds errors."""
    with av.open(io.BytesIO(data), "r", format=container) as source:
        source.streams.video[0].codec_context.options = {"err_detect": "explode"}
        return sum(1 for _ in source.decode(video=0))


def _add_video(sink: OutputContainer, codec: Codec, b_frames: int) -> VideoStream:
    encoder, options = _ENCODERS[codec]
    stream = cast(VideoStream, sink.add_stream(encoder, rate=FRAME_RATE, options=options))
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    stream.gop_size = GOP_FRAMES
    stream.max_b_frames = b_frames
    return stream


def _add_audio(sink: OutputContainer, codec: Codec) -> AudioStream:
    encoder, options = _ENCODERS[codec]
    stream = cast(AudioStream, sink.add_stream(encoder, rate=SAMPLE_RATE, options=options))
    stream.layout = "stereo"
    return stream


def _encode_video(sink: OutputContainer, stream: VideoStream) -> None:
    with av.open(f"testsrc2=size={WIDTH}x{HEIGHT}:rate={FRAME_RATE}", format="lavfi") as source:
        for number, frame in enumerate(source.decode(video=0)):
            if number == FRAMES:
                break
            picture = frame.reformat(format="yuv420p")
            picture.pict_type = PictureType.NONE
            sink.mux(stream.encode(picture))
    sink.mux(stream.encode(None))


def _encode_audio(sink: OutputContainer, stream: AudioStream) -> None:
    seconds = FRAMES / FRAME_RATE
    with av.open(f"sine=sample_rate={SAMPLE_RATE}:duration={seconds}", format="lavfi") as source:
        for frame in source.decode(audio=0):
            sink.mux(stream.encode(frame))
    sink.mux(stream.encode(None))


def _read(source: InputContainer, codecs: Sequence[Codec]) -> Encoded:
    raw = [packet for packet in source.demux() if packet.size and packet.dts is not None]
    origin = min(_seconds(packet.dts, packet.time_base) for packet in raw)
    tracks = []
    for stream, codec in zip(source.streams, codecs, strict=True):
        first = next(bytes(packet) for packet in raw if packet.stream_index == stream.index)
        config = _config(codec, stream.codec_context.extradata or b"", first)
        kind = CODECS[codec].kind
        clock_rate = VIDEO_CLOCK_RATE if kind is TrackKind.VIDEO else SAMPLE_RATE
        tracks.append(Track(0 if kind is TrackKind.VIDEO else 1, kind, codec, clock_rate, config))
    packets = []
    for packet in sorted(raw, key=lambda packet: _seconds(packet.dts, packet.time_base)):
        track = tracks[packet.stream_index]
        dts = round((_seconds(packet.dts, packet.time_base) - origin) * track.clock_rate)
        pts = round((_seconds(packet.pts, packet.time_base) - origin) * track.clock_rate)
        packets.append(MediaPacket(track, dts, pts, packet.is_keyframe, bytes(packet), 0.0))
    return Encoded(tuple(tracks), tuple(packets))


def _seconds(ticks: int | None, time_base: Fraction) -> Fraction:
    assert ticks is not None, "a packet of a file has its time"
    return ticks * time_base


def _config(codec: Codec, extradata: bytes, first_frame: bytes) -> bytes:
    config_of = CODECS[codec].config_of
    if config_of is not None:
        return config_of(first_frame)
    if codec is Codec.VP9:
        return _VP9_CONFIG
    return _FLAC_STREAM_INFO + extradata if codec is Codec.FLAC else extradata
