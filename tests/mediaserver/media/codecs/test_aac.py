import pytest

from mediaserver.media.codecs import aac
from mediaserver.media.codecs.aac import AacConfiguration
from mediaserver.media.errors import CodecConfigError
from tests.mediaserver.media.codecs import vectors


@pytest.mark.parametrize(
    ("config", "codec_string", "sample_rate", "channels", "samples"),
    [
        ("1190", "mp4a.40.2", 48_000, 2, 1024),
        ("1210", "mp4a.40.2", 44_100, 2, 1024),
        ("1194", "mp4a.40.2", 48_000, 2, 960),
        ("0990", "mp4a.40.1", 48_000, 2, 1024),
        # HE-AAC: SBR named first, at 24 kHz with output at 48 kHz; then with parametric stereo.
        ("2b118800", "mp4a.40.5", 24_000, 2, 1024),
        ("eb098800", "mp4a.40.29", 24_000, 2, 1024),
        # The same signalled behind a configuration that every decoder knows.
        ("131056e598", "mp4a.40.5", 24_000, 2, 1024),
        ("130856e59d4880", "mp4a.40.29", 24_000, 2, 1024),
        ("131202695b9660", "mp4a.40.5", 24_000, 2, 1024),
        ("131056e500", "mp4a.40.2", 24_000, 2, 1024),
        ("b990", "mp4a.40.23", 48_000, 2, 512),
        ("f8e650", "mp4a.40.39", 48_000, 2, 480),
        ("17800bb810", "mp4a.40.2", 6_000, 2, 1024),
        ("f94640", "mp4a.40.42", 48_000, 2, 1024),
        ("11b8", "mp4a.40.2", 48_000, 8, 1024),
    ],
)
def test_describes(config: str, codec_string: str, sample_rate: int, channels: int, samples: int) -> None:
    description = aac.describe(bytes.fromhex(config))
    assert description.codec_string == codec_string
    assert (description.sample_rate, description.channels) == (sample_rate, channels)
    assert description.samples_per_frame == samples


@pytest.mark.parametrize("config", ["2b118800", "131056e598"])
def test_sbr_doubles_the_output_rate(config: str) -> None:
    parsed = AacConfiguration.parse(bytes.fromhex(config))
    assert (parsed.sample_rate, parsed.output_rate, parsed.core_object_type) == (24_000, 48_000, 2)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("", "too early"),
        ("11", "too early"),
        ("1690", "frequency index 13"),
        ("178000000010", "sampling frequency 0"),
        ("17ffffff90", "sampling frequency 16777215"),
    ],
)
def test_refuses_malformed_configurations(config: str, text: str) -> None:
    with pytest.raises(CodecConfigError, match=text):
        aac.describe(bytes.fromhex(config))


def test_makes_the_header_that_ffmpeg_makes() -> None:
    prefix = aac.adts_prefix(vectors.AAC_STEREO)
    assert aac.adts_header(prefix, 285) == bytes.fromhex("fff14c8024 9ffc")


def test_a_frame_too_long_for_adts_is_refused() -> None:
    prefix = aac.adts_prefix(vectors.AAC_STEREO)
    assert len(aac.adts_header(prefix, 0x1FFF - 7)) == 7
    with pytest.raises(CodecConfigError, match="does not fit"):
        aac.adts_header(prefix, 0x1FFF - 6)


@pytest.mark.parametrize("config", ["17800bb810", "f94640"])
def test_what_adts_cannot_say_is_refused(config: str) -> None:
    with pytest.raises(CodecConfigError, match="ADTS"):
        aac.adts_prefix(bytes.fromhex(config))
