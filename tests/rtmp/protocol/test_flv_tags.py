import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmp.protocol import flv_tags
from rtmp.protocol.errors import FlvTagError
from rtmp.protocol.flv_tags import AudioTag, PacketKind, VideoTag
from tests.rtmp.protocol.flv_tag_cases import (
    AUDIO_CASES,
    MALFORMED_AUDIO,
    MALFORMED_VIDEO,
    VIDEO_CASES,
    AudioCase,
    MalformedTag,
    VideoCase,
)

ALL_WIRES = [case.wire for case in (*VIDEO_CASES, *AUDIO_CASES, *MALFORMED_VIDEO, *MALFORMED_AUDIO)]


@pytest.mark.parametrize("case", VIDEO_CASES, ids=lambda case: case.name)
def test_parses_video(case: VideoCase) -> None:
    assert flv_tags.parse_video(case.wire) == case.tags


@pytest.mark.parametrize("case", [c for c in VIDEO_CASES if c.is_canonical], ids=lambda case: case.name)
def test_serializes_video(case: VideoCase) -> None:
    assert flv_tags.serialize_video(case.tags[0]) == case.wire


@pytest.mark.parametrize("case", MALFORMED_VIDEO, ids=lambda case: case.name)
def test_refuses_video(case: MalformedTag) -> None:
    with pytest.raises(FlvTagError) as caught:
        flv_tags.parse_video(case.wire)
    assert type(caught.value) is case.error
    assert case.text in str(caught.value)


@pytest.mark.parametrize("case", AUDIO_CASES, ids=lambda case: case.name)
def test_parses_audio(case: AudioCase) -> None:
    assert flv_tags.parse_audio(case.wire) == case.tags


@pytest.mark.parametrize("case", [c for c in AUDIO_CASES if c.is_canonical], ids=lambda case: case.name)
def test_serializes_audio(case: AudioCase) -> None:
    assert flv_tags.serialize_audio(case.tags[0]) == case.wire


@pytest.mark.parametrize("case", MALFORMED_AUDIO, ids=lambda case: case.name)
def test_refuses_audio(case: MalformedTag) -> None:
    with pytest.raises(FlvTagError) as caught:
        flv_tags.parse_audio(case.wire)
    assert type(caught.value) is case.error
    assert case.text in str(caught.value)


@pytest.mark.parametrize("time", [2**23, -(2**23) - 1])
@pytest.mark.parametrize("codec", [flv_tags.AVC, flv_tags.HEVC])
def test_a_composition_time_over_24_bits_is_not_serialized(codec: str, time: int) -> None:
    with pytest.raises(ValueError, match=str(time)):
        flv_tags.serialize_video(VideoTag(codec, PacketKind.FRAME, True, time, b""))


def test_the_header_and_the_payload_make_the_body() -> None:
    tag = VideoTag(flv_tags.HEVC, PacketKind.FRAME, True, 40, b"coded", 2)
    header = flv_tags.video_header(tag.codec, tag.kind, tag.is_keyframe, tag.composition_time, tag.track_id)
    assert header + tag.payload == flv_tags.serialize_video(tag)


track_ids = st.integers(0, 255)
payloads = st.binary(max_size=40)
timed_frames = st.builds(
    VideoTag,
    st.sampled_from([flv_tags.AVC, flv_tags.HEVC]),
    st.just(PacketKind.FRAME),
    st.booleans(),
    st.integers(-(2**23), 2**23 - 1),
    payloads,
    track_ids,
)
untimed_video = st.builds(
    VideoTag,
    st.sampled_from([flv_tags.AVC, flv_tags.HEVC, flv_tags.AV1, flv_tags.VP9]),
    st.sampled_from([kind for kind in PacketKind if kind is not PacketKind.FRAME]),
    st.booleans(),
    st.just(0),
    payloads,
    track_ids,
)
audio_tags = st.builds(
    AudioTag,
    st.sampled_from([flv_tags.AAC, flv_tags.OPUS, flv_tags.MP3, flv_tags.AC3, flv_tags.FLAC]),
    st.sampled_from([PacketKind.SEQUENCE_START, PacketKind.FRAME, PacketKind.SEQUENCE_END, PacketKind.OTHER]),
    payloads,
    track_ids,
)


@given(timed_frames | untimed_video)
def test_parses_the_video_it_serializes(tag: VideoTag) -> None:
    assert flv_tags.parse_video(flv_tags.serialize_video(tag)) == [tag]


@given(audio_tags)
def test_parses_the_audio_it_serializes(tag: AudioTag) -> None:
    assert flv_tags.parse_audio(flv_tags.serialize_audio(tag)) == [tag]


@given(st.binary(max_size=64) | st.tuples(st.sampled_from(ALL_WIRES), st.binary(max_size=8)).map(b"".join))
def test_any_bytes_are_tags_or_our_exception(body: bytes) -> None:
    for parse in (flv_tags.parse_video, flv_tags.parse_audio):
        try:
            tags = parse(body)
        except FlvTagError:
            continue
        assert sum(len(tag.payload) for tag in tags) <= len(body)


@pytest.mark.parametrize("wire", ALL_WIRES)
def test_every_truncation_is_tags_or_our_exception(wire: bytes) -> None:
    for end in range(min(len(wire), 48)):
        for parse in (flv_tags.parse_video, flv_tags.parse_audio):
            try:
                tags = parse(wire[:end])
            except FlvTagError:
                continue
            assert sum(len(tag.payload) for tag in tags) <= end
