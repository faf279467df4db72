from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.containers.flv import FlvMuxer
from mediaserver.containers.flv_bodies import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from rtmp.protocol.amf0 import decode
from rtmp.protocol.flv_tags import PacketKind, parse_audio, parse_video
from tests.helpers.encoded import FRAMES, Encoded, decoded_frames, demux, encode
from tests.helpers.flv import FlvTag, read_flv, read_tags
from tests.mediaserver.media.codecs import vectors

VIDEO = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, vectors.H264_720P)
AUDIO = Track(1, TrackKind.AUDIO, Codec.AAC, 48_000, vectors.AAC_STEREO)
SECOND_AUDIO = Track(3, TrackKind.AUDIO, Codec.AAC, 48_000, vectors.AAC_MONO)

STREAMS = [
    (Codec.H264, Codec.AAC, 0),
    (Codec.H264, Codec.AAC, 2),
    (Codec.HEVC, Codec.OPUS, 2),
    (Codec.AV1, Codec.OPUS, 0),
    (Codec.VP9, Codec.AAC, 0),
    (Codec.H264, None, 0),
    (None, Codec.AAC, 0),
    (None, Codec.MP3, 0),
    (None, Codec.AC3, 0),
    (None, Codec.FLAC, 0),
]


def _muxer(*tracks: Track, metadata: dict[str, object] | None = None) -> FlvMuxer:
    muxer = FlvMuxer()
    assert muxer.configure(tracks, metadata or {})
    return muxer


def _flv(encoded: Encoded) -> bytes:
    muxer = _muxer(*encoded.tracks)
    half = len(encoded.packets) // 2
    return muxer.header() + muxer.render(encoded.packets[:half]) + muxer.render(encoded.packets[half:])


@pytest.mark.parametrize(("video", "audio", "b_frames"), STREAMS)
def test_a_demuxer_reads_back_what_was_encoded(
    video: Codec | None, audio: Codec | None, b_frames: int
) -> None:
    encoded = encode(video, audio, b_frames)
    demuxed = {stream.codec: stream for stream in demux(_flv(encoded), "flv")}
    assert len(demuxed) == len(encoded.tracks)
    for track in encoded.tracks:
        [stream] = [found for name, found in demuxed.items() if name.removesuffix("float") in _names(track)]
        sent = [packet for packet in encoded.packets if packet.track is track]
        assert stream.payloads == [packet.payload for packet in sent]
        for (pts, dts), packet in zip(stream.times, sent, strict=True):
            assert abs(dts - Fraction(packet.dts, track.clock_rate)) <= Fraction(1, 2000)
            assert abs(pts - Fraction(packet.pts, track.clock_rate)) <= Fraction(1, 2000)


def _names(track: Track) -> set[str]:
    return {track.codec.value, f"lib{track.codec.value}", {Codec.AV1: "libdav1d"}.get(track.codec, "")}


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_decoder_finds_every_picture(b_frames: int) -> None:
    assert decoded_frames(_flv(encode(Codec.H264, Codec.AAC, b_frames)), "flv") == FRAMES


@pytest.mark.parametrize(
    ("tracks", "flags"),
    [((VIDEO, AUDIO), 5), ((VIDEO,), 1), ((AUDIO,), 4), ((VIDEO, AUDIO, SECOND_AUDIO), 5)],
)
def test_the_file_header_says_what_follows(tracks: tuple[Track, ...], flags: int) -> None:
    assert _muxer(*tracks).header().startswith(b"FLV\x01" + bytes((flags, 0, 0, 0, 9, 0, 0, 0, 0)))


def test_metadata_and_sequence_headers_come_first() -> None:
    tags = read_flv(_muxer(VIDEO, AUDIO, metadata={"encoder": "an encoder"}).header())
    assert [(tag.type, tag.timestamp) for tag in tags] == [(TAG_SCRIPT, 0), (TAG_VIDEO, 0), (TAG_AUDIO, 0)]
    [video], [audio] = parse_video(tags[1].body), parse_audio(tags[2].body)
    assert (video.kind, video.payload) == (PacketKind.SEQUENCE_START, VIDEO.config)
    assert (audio.kind, audio.payload) == (PacketKind.SEQUENCE_START, AUDIO.config)


def test_metadata_says_what_is_true_now() -> None:
    publisher = {
        "encoder": "an encoder",
        "videodatarate": 2500.0,
        "width": 1.0,
        "duration": 0.0,
        "filesize": 0.0,
        "keyframes": {"times": [0.0]},
        "audiocodecid": 10.0,
        "audiosamplerate": 44_100.0,
        "x" * 10: "y" * 100_000,
    }
    [name, values] = decode(read_flv(_muxer(VIDEO, metadata=publisher).header())[0].body)
    assert name == "onMetaData"
    assert values == {
        "encoder": "an encoder",
        "videodatarate": 2500.0,
        "videocodecid": 7.0,
        "width": 1280.0,
        "height": 720.0,
        "framerate": 30.0,
    }


def test_codecs_that_flv_does_not_know_are_named_by_their_four_characters() -> None:
    hevc = Track(0, TrackKind.VIDEO, Codec.HEVC, 90_000, vectors.HEVC_360P)
    opus = Track(1, TrackKind.AUDIO, Codec.OPUS, 48_000, vectors.OPUS_STEREO)
    [_, values] = decode(read_flv(_muxer(hevc, opus).header())[0].body)
    assert isinstance(values, dict)
    assert values["videocodecid"] == int.from_bytes(b"hvc1", "big")
    assert values["audiocodecid"] == int.from_bytes(b"Opus", "big")


def test_only_the_primary_tracks_are_carried() -> None:
    muxer = _muxer(VIDEO, AUDIO, SECOND_AUDIO)
    packets = [MediaPacket(track, 0, 0, True, bytes(4), 0.0) for track in (VIDEO, SECOND_AUDIO, AUDIO)]
    assert [tag.type for tag in read_tags(muxer.render(packets))] == [TAG_VIDEO, TAG_AUDIO]
    assert muxer.render(packets[1:2]) == b""


def test_a_running_viewer_gets_new_headers_at_the_current_time() -> None:
    muxer = _muxer(VIDEO)
    muxer.render([MediaPacket(VIDEO, 90_000, 90_000, True, b"", 0.0)])
    assert muxer.configure((VIDEO, AUDIO), {})
    tags = read_tags(muxer.resumption())
    assert [(tag.type, tag.timestamp) for tag in tags] == [
        (TAG_SCRIPT, 1000),
        (TAG_VIDEO, 1000),
        (TAG_AUDIO, 1000),
    ]


@given(st.integers(0, 2**40), st.integers(-(2**23), 2**23 - 1), st.booleans())
def test_times_wrap_and_keep_their_distance(milliseconds: int, composition: int, is_keyframe: bool) -> None:
    dts = milliseconds * 90
    packet = MediaPacket(VIDEO, dts, dts + composition * 90, is_keyframe, b"payload", 0.0)
    [tag] = read_tags(_muxer(VIDEO).render([packet]))
    [video] = parse_video(tag.body)
    assert tag.timestamp == milliseconds % 2**32
    assert (video.composition_time, video.is_keyframe, video.payload) == (
        composition,
        is_keyframe,
        b"payload",
    )


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_rounding_never_moves_a_frame_by_more_than_half_a_millisecond(ticks: list[int]) -> None:
    packets = [MediaPacket(AUDIO, at, at, True, b"", 0.0) for at in ticks]
    tags = read_tags(_muxer(AUDIO).render(packets))
    assert all(abs(tag.timestamp * 48 - at) <= 24 for tag, at in zip(tags, ticks, strict=True))


@given(
    st.sampled_from([TAG_AUDIO, TAG_VIDEO, TAG_SCRIPT]),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=5),
    st.binary(max_size=64),
)
def test_reads_the_tag_it_serialized(tag_type: int, timestamp: int, header: bytes, payload: bytes) -> None:
    parts: list[bytes] = []
    FlvMuxer().append_body(parts, tag_type, timestamp, header, payload)
    assert read_tags(b"".join(parts)) == [FlvTag(tag_type, timestamp, header + payload)]
