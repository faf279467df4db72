from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.media.codecs import (
    BY_FOUR_CC,
    CODECS,
    AudioDescription,
    VideoDescription,
    describe,
    describe_config,
    primary,
)
from mediaserver.media.codecs.table import MAX_CONFIG_SIZE
from mediaserver.media.errors import CodecConfigError
from mediaserver.media.packet import Codec, Track, TrackKind
from tests.mediaserver.media.codecs import vectors

DESCRIPTIONS = [
    (Codec.H264, vectors.H264_720P, VideoDescription("avc1.64001F", 1280, 720, Fraction(30), True)),
    (
        Codec.H264,
        vectors.H264_1080P_BASELINE,
        VideoDescription("avc1.42C02A", 1920, 1080, Fraction(60), False),
    ),
    (Codec.H264, vectors.H264_INTERLACED, VideoDescription("avc1.64001E", 720, 576, Fraction(25), True)),
    (Codec.H264, vectors.H264_422, VideoDescription("avc1.7A000D", 322, 242, Fraction(25), True)),
    (Codec.H264, vectors.H264_444_SCALING, VideoDescription("avc1.F4000D", 320, 240, Fraction(25), True)),
    (Codec.H264, vectors.H264_NTSC, VideoDescription("avc1.64001E", 640, 360, Fraction(30000, 1001), False)),
    (Codec.HEVC, vectors.HEVC_360P, VideoDescription("hvc1.1.6.L63.90", 640, 360, None, True)),
    (Codec.HEVC, vectors.HEVC_1080P_10_BIT, VideoDescription("hvc1.2.4.L120.90", 1920, 1080, None, False)),
    (Codec.AV1, vectors.AV1_360P, VideoDescription("av01.0.01M.08", 640, 360)),
    (Codec.AV1, vectors.AV1_10_BIT, VideoDescription("av01.0.00M.10", 322, 242)),
    (Codec.VP9, vectors.VP9_360P, VideoDescription("vp09.00.21.08")),
    (Codec.VP9, b"\x01\x00\x00\x00" + vectors.VP9_360P, VideoDescription("vp09.00.21.08")),
    (Codec.AAC, vectors.AAC_STEREO, AudioDescription("mp4a.40.2", 48_000, 2, 1024)),
    (Codec.AAC, vectors.AAC_MONO, AudioDescription("mp4a.40.2", 44_100, 1, 1024)),
    (Codec.AAC, vectors.AAC_5_1, AudioDescription("mp4a.40.2", 48_000, 6, 1024)),
    (Codec.OPUS, vectors.OPUS_STEREO, AudioDescription("opus", 48_000, 2, 0)),
    (Codec.OPUS, vectors.OPUS_5_1, AudioDescription("opus", 48_000, 6, 0)),
    (Codec.MP3, vectors.MP3_FRAME[:4], AudioDescription("mp3", 44_100, 2, 1152)),
    (Codec.MP3, vectors.MP3_22_KHZ_FRAME[:4], AudioDescription("mp3", 22_050, 1, 576)),
    (Codec.AC3, vectors.AC3_RECORD, AudioDescription("ac-3", 48_000, 2, 1536)),
    (Codec.FLAC, vectors.FLAC_BLOCKS, AudioDescription("flac", 44_100, 2, 1024)),
    (Codec.FLAC, vectors.FLAC_BLOCKS[4:], AudioDescription("flac", 44_100, 2, 1024)),
    (Codec.FLAC, b"fLaC" + vectors.FLAC_BLOCKS, AudioDescription("flac", 44_100, 2, 1024)),
]
CONFIGS = [config for _, config, _ in DESCRIPTIONS]


@pytest.mark.parametrize(("codec", "config", "description"), DESCRIPTIONS)
def test_describes_what_encoders_make(
    codec: Codec, config: bytes, description: VideoDescription | AudioDescription
) -> None:
    assert describe(Track(0, CODECS[codec].kind, codec, 90_000, config)) == description


@pytest.mark.parametrize(("codec", "config", "_"), DESCRIPTIONS)
def test_every_truncation_is_described_or_our_exception(codec: Codec, config: bytes, _: object) -> None:
    for end in range(len(config)):
        try:
            description = CODECS[codec].describe(config[:end])
        except CodecConfigError as error:
            assert str(error)
        else:
            assert description.codec_string


@given(st.sampled_from(Codec), st.binary(max_size=80))
def test_any_bytes_are_described_or_our_exception(codec: Codec, config: bytes) -> None:
    try:
        description = CODECS[codec].describe(config)
    except CodecConfigError:
        return
    assert description.codec_string


@given(st.data(), st.sampled_from(DESCRIPTIONS))
def test_damaged_configurations_are_described_or_our_exception(
    data: st.DataObject, case: tuple[Codec, bytes, object]
) -> None:
    codec, config, _ = case
    damaged = bytearray(config)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(config) - 1))] = data.draw(st.integers(0, 255))
    try:
        description = CODECS[codec].describe(bytes(damaged))
    except CodecConfigError:
        return
    if isinstance(description, VideoDescription):
        assert 0 <= description.width <= 1 << 16
        assert 0 <= description.height <= 1 << 16
    else:
        assert description.sample_rate > 0


def test_an_endless_configuration_is_refused() -> None:
    with pytest.raises(CodecConfigError, match=str(MAX_CONFIG_SIZE)):
        describe_config(Codec.AAC, bytes(MAX_CONFIG_SIZE + 1))


def test_every_codec_has_its_facts() -> None:
    assert set(CODECS) == set(Codec)
    assert {BY_FOUR_CC[facts.four_cc] for facts in CODECS.values()} == set(Codec)


@pytest.mark.parametrize(
    ("codec", "frame", "config"),
    [
        (Codec.MP3, vectors.MP3_FRAME, vectors.MP3_FRAME[:4]),
        (Codec.AC3, vectors.AC3_FRAME, vectors.AC3_RECORD),
    ],
)
def test_makes_a_configuration_of_a_frame(codec: Codec, frame: bytes, config: bytes) -> None:
    config_of = CODECS[codec].config_of
    assert config_of is not None
    assert config_of(frame) == config
    for end in range(4):
        with pytest.raises(CodecConfigError):
            config_of(frame[:end])


def test_the_primary_track_is_the_first_of_its_kind() -> None:
    tracks = [
        Track(1, TrackKind.AUDIO, Codec.AAC, 48_000, b""),
        Track(2, TrackKind.VIDEO, Codec.H264, 90_000, b""),
        Track(3, TrackKind.AUDIO, Codec.OPUS, 48_000, b""),
    ]
    assert primary(tracks, TrackKind.AUDIO) is tracks[0]
    assert primary(tracks, TrackKind.VIDEO) is tracks[1]
    assert primary(tracks[:1], TrackKind.VIDEO) is None
