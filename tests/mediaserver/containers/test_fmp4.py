from fractions import Fraction

import pytest

from mediaserver.containers.fmp4 import Fmp4Muxer, fragment, init_segment
from mediaserver.containers.fmp4_boxes import CARRIED
from mediaserver.media.codecs import CODECS
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from tests.helpers.encoded import FRAMES, Encoded, decoded_frames, demux, encode
from tests.mediaserver.media.codecs import vectors

VIDEO = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, vectors.H264_720P)
AUDIO = Track(1, TrackKind.AUDIO, Codec.AAC, 48_000, vectors.AAC_STEREO)

STREAMS = [
    (Codec.H264, Codec.AAC, 0),
    (Codec.H264, Codec.AAC, 2),
    (Codec.HEVC, Codec.OPUS, 2),
    (Codec.AV1, Codec.OPUS, 0),
    (Codec.H264, None, 2),
    (None, Codec.AAC, 0),
    (None, Codec.MP3, 0),
    (None, Codec.AC3, 0),
    (None, Codec.FLAC, 0),
]


def _muxer(*tracks: Track) -> Fmp4Muxer:
    muxer = Fmp4Muxer()
    assert muxer.configure(tracks, {})
    return muxer


def _fmp4(encoded: Encoded, batch: int) -> bytes:
    muxer = _muxer(*encoded.tracks)
    packets = encoded.packets
    batches = [packets[at : at + batch] for at in range(0, len(packets), batch)]
    return muxer.header() + b"".join(muxer.render(packets) for packets in batches)


@pytest.mark.parametrize("batch", [1, 7, 1000])
@pytest.mark.parametrize(("video", "audio", "b_frames"), STREAMS)
def test_a_demuxer_reads_back_what_was_encoded(
    video: Codec | None, audio: Codec | None, b_frames: int, batch: int
) -> None:
    encoded = encode(video, audio, b_frames)
    streams = demux(_fmp4(encoded, batch), "mp4")
    assert len(streams) == len(encoded.tracks)
    for stream, track in zip(streams, encoded.tracks, strict=True):
        sent = [packet for packet in encoded.packets if packet.track is track]
        assert stream.payloads == [packet.payload for packet in sent]
        rate = track.clock_rate
        assert stream.times == [(Fraction(packet.pts, rate), Fraction(packet.dts, rate)) for packet in sent]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC, Codec.AV1, Codec.AAC, Codec.OPUS])
def test_the_configuration_survives(codec: Codec) -> None:
    is_video = CODECS[codec].kind is TrackKind.VIDEO
    encoded = encode(codec, None) if is_video else encode(None, codec)
    [stream] = demux(_fmp4(encoded, 1000), "mp4")
    assert stream.config == encoded.tracks[0].config


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_decoder_finds_every_picture(b_frames: int) -> None:
    assert decoded_frames(_fmp4(encode(Codec.H264, Codec.AAC, b_frames), 5), "mp4") == FRAMES


@pytest.mark.parametrize(
    ("tracks", "mime_type"),
    [
        ((VIDEO, AUDIO), 'video/mp4; codecs="avc1.64001F,mp4a.40.2"'),
        ((VIDEO,), 'video/mp4; codecs="avc1.64001F"'),
        ((AUDIO,), 'audio/mp4; codecs="mp4a.40.2"'),
    ],
)
def test_names_its_codecs(tracks: tuple[Track, ...], mime_type: str) -> None:
    assert _muxer(*tracks).mime_type == mime_type


def test_viewers_go_on_unless_the_tracks_change() -> None:
    muxer = _muxer(VIDEO, AUDIO)
    assert muxer.configure((VIDEO, AUDIO), {"title": "another"})
    assert muxer.resumption() == b""
    assert not muxer.configure((VIDEO,), {})
    other = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, vectors.H264_NTSC)
    assert not muxer.configure((other,), {})


def test_only_the_primary_tracks_are_carried() -> None:
    other = Track(3, TrackKind.AUDIO, Codec.AAC, 48_000, vectors.AAC_MONO)
    muxer = _muxer(VIDEO, AUDIO, other)
    assert muxer.render([MediaPacket(other, 0, 0, True, b"abc", 0.0)]) == b""
    assert b"abc" in muxer.render([MediaPacket(AUDIO, 0, 0, True, b"abc", 0.0)])


def test_every_codec_is_carried() -> None:
    assert set(Codec) == CARRIED


def test_a_time_of_more_than_32_bits_survives() -> None:
    packet = MediaPacket(AUDIO, 2**40, 2**40, True, b"\x21\x10\x04", 0.0)
    [stream] = demux(init_segment([(1, AUDIO)]) + fragment(1, [(1, [packet], 1024)]), "mp4")
    assert stream.times == [(Fraction(2**40, 48_000), Fraction(2**40, 48_000))]
