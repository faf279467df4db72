"""What HLS lists, read back with a demuxer that is not ours: the packets that were published, all of them."""

import pytest

from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.hls.packager import HlsPackager
from mediaserver.delivery.hls.rendition import Rendition
from mediaserver.delivery.hls.ts_packager import TsPackager
from mediaserver.media.packet import Codec, TrackKind
from tests.helpers.encoded import Demuxed, decoded_frames, demux, encode

OPTIONS = HlsOptions(part_target=0.2, segment_target=0.4)
MAX_LEFT_OUT = 3
"""Sounds in front of the first picture."""
CASES = [
    (Codec.H264, Codec.AAC, 0),
    (Codec.H264, Codec.AAC, 2),
    (Codec.HEVC, Codec.OPUS, 0),
    (Codec.AV1, Codec.OPUS, 0),
    (Codec.VP9, Codec.OPUS, 0),
    (Codec.H264, None, 0),
    (None, Codec.AAC, 0),
    (None, Codec.MP3, 0),
    (None, Codec.AC3, 0),
    (None, Codec.FLAC, 0),
]


@pytest.mark.parametrize(("video", "audio", "b_frames"), CASES)
def test_segments_and_parts_hold_what_was_published(video: Codec | None, audio: Codec | None, b_frames: int):
    encoded = encode(video, audio, b_frames)
    packager = HlsPackager("room", OPTIONS, lambda: 0.0, lambda: 0.0)
    packager.on_tracks(encoded.tracks, {})
    for packet in encoded.packets:
        packager.on_packet(packet)
    packager.on_end()
    assert len(packager.renditions) == len(encoded.tracks)
    for rendition in packager.renditions.values():
        whole = _fetch(packager, rendition, by_part=False)
        assert whole == _fetch(packager, rendition, by_part=True)
        (stream,) = demux(whole, "mp4")
        everything = encoded.of(rendition.track.kind)
        published = everything[-len(stream.payloads) :]
        assert stream.payloads == [packet.payload for packet in published]
        rate = rendition.track.clock_rate
        assert [float(pts) for pts, _ in stream.times] == pytest.approx([p.pts / rate for p in published])
        if rendition.track.kind is TrackKind.VIDEO:
            assert published == everything
            assert decoded_frames(whole, "mp4") == len(published)
        assert len(everything) - len(published) <= MAX_LEFT_OUT


def _fetch(packager: HlsPackager, rendition: Rendition, *, by_part: bool) -> bytes:
    segments = [*rendition.window.listed]
    names = [part.name for s in segments for part in s.parts] if by_part else [s.name for s in segments]
    return b"".join(bytes(packager.data(name) or b"") for name in (segments[0].map_name, *names))


@pytest.mark.parametrize(
    ("video", "audio"), [(Codec.H264, Codec.AAC), (Codec.HEVC, Codec.AAC), (None, Codec.AAC)]
)
def test_transport_stream_segments_hold_what_was_published(video: Codec | None, audio: Codec | None):
    encoded = encode(video, audio)
    packager = TsPackager(OPTIONS, lambda: 0.0)
    packager.on_tracks(encoded.tracks, {})
    for packet in encoded.packets:
        packager.on_packet(packet)
    packager.on_end()
    names = [line for line in packager.playlist().decode().splitlines() if not line.startswith("#")]
    assert len(names) > 1
    streams = demux(b"".join(bytes(packager.data(name) or b"") for name in names), "mpegts")
    for stream in streams:
        assert 0 <= len(encoded.of(_kind(stream))) - len(stream.payloads) <= MAX_LEFT_OUT


def _kind(stream: Demuxed) -> TrackKind:
    return TrackKind.AUDIO if stream.codec == "aac" else TrackKind.VIDEO
