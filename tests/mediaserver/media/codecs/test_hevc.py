import pytest

from mediaserver.media.codecs import hevc
from mediaserver.media.codecs.hevc import HevcConfiguration
from mediaserver.media.errors import CodecConfigError
from tests.mediaserver.media.codecs import vectors


@pytest.mark.parametrize("record", [vectors.HEVC_360P, vectors.HEVC_1080P_10_BIT])
def test_parses_and_serializes_the_record(record: bytes) -> None:
    parsed = HevcConfiguration.parse(record)
    assert parsed.length_size == 4
    assert [hevc.unit_type(unit) for unit in parsed.parameter_sets] == [
        hevc.UNIT_VPS,
        hevc.UNIT_SPS,
        hevc.UNIT_PPS,
    ]
    # The completeness bit of x265's arrays is set or not; ours always is, as hvc1 demands.
    assert HevcConfiguration.parse(parsed.serialize()) == parsed


def test_a_record_without_parameter_sets_still_has_a_codec_string() -> None:
    description = hevc.describe(vectors.HEVC_360P[:22] + b"\x00")
    assert (description.codec_string, description.width) == ("hvc1.1.6.L63.90", 0)
    assert description.has_reordering


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (b"", "version 1"),
        (b"\x02" + vectors.HEVC_360P[1:], "version 1"),
        (vectors.HEVC_360P[:22] + b"\xff", "255 arrays"),
        (vectors.HEVC_360P[:22] + b"\x01\xa1", "array header"),
        (vectors.HEVC_360P[:22] + b"\x01\xa1\xff\xff", "65535 NAL units"),
        (vectors.HEVC_360P[:22] + b"\x01\xa1\x00\x01\x00\x01\x42", "too short"),
        (vectors.HEVC_360P[:22] + b"\x01\xa1\x00\x01\x00\x09\x42\x01", "past the end"),
        (vectors.HEVC_360P[:22] + b"\x01\xa1\x00\x01\x00\x03\x42\x01\x01", "too early"),
    ],
)
def test_refuses_malformed_records(record: bytes, text: str) -> None:
    with pytest.raises(CodecConfigError, match=text):
        hevc.describe(record)
