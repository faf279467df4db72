import re
from fractions import Fraction

import pytest

from mediaserver.media.codecs import VideoDescription, h264
from mediaserver.media.codecs.h264 import AvcConfiguration, BFrameDetector
from mediaserver.media.errors import CodecConfigError
from mediaserver.media.packet import Codec
from tests.helpers.encoded import encode
from tests.mediaserver.media.codecs import vectors

RECORDS = [
    vectors.H264_720P,
    vectors.H264_1080P_BASELINE,
    vectors.H264_INTERLACED,
    vectors.H264_422,
    vectors.H264_444_SCALING,
    vectors.H264_NTSC,
]


@pytest.mark.parametrize("record", RECORDS)
def test_serializes_the_record_it_parsed(record: bytes) -> None:
    assert AvcConfiguration.parse(record).serialize() == record


def test_parses_the_record() -> None:
    parsed = AvcConfiguration.parse(vectors.H264_720P)
    assert (parsed.profile, parsed.compatibility, parsed.level, parsed.length_size) == (100, 0, 31, 4)
    [sps], [pps] = parsed.sequence_parameter_sets, parsed.picture_parameter_sets
    assert h264.unit_type(sps) == h264.UNIT_SPS
    assert h264.unit_type(pps) == h264.UNIT_PPS
    assert parsed.extension == bytes.fromhex("fdf8f800")


def _record(sps: bytes, count: int = 1) -> bytes:
    return b"\x01\x64\x00\x1f\xff" + bytes((0xE0 | count,)) + len(sps).to_bytes(2, "big") + sps + b"\x00"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (b"", "version 1"),
        (b"\x00" + vectors.H264_720P[1:], "version 1"),
        (_record(b"", 0), "no sequence parameter set"),
        (_record(b""), "empty or past the end"),
        (_record(b"\x67\x64")[:9], "past the end"),
        (_record(b"\x67\x64\x00\x1f"), "too early"),
        (_record(b"\x67\x64\x00\x1f" + bytes(40)), "Exp-Golomb"),
        # Exp-Golomb codes of one bit are 0, so a run of ones is an SPS with every flag set.
        (_record(b"\x67\x64\x00\x1f" + b"\xff" * 40), "SPS|too early"),
        (
            vectors.H264_720P.replace(b"\xd9\x40\x50\x05\xbb", b"\xd9\x40\x00\x00\x05"),
            "macroblocks|too early",
        ),
    ],
)
def test_refuses_malformed_records(record: bytes, text: str) -> None:
    with pytest.raises(CodecConfigError, match=text):
        h264.describe(record)


def _golomb(value: int) -> str:
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def _described(order_count: str = _golomb(2), timing: str = "0", restriction: str = "0") -> VideoDescription:
    """What an SPS says that is put together here: High profile, 1280x720, and the parts given as bits."""
    chroma, reference_frames = _golomb(1) + "1100", _golomb(1)
    size = _golomb(79) + _golomb(44)
    usability = "0000" + timing + "000" + restriction
    bits = f"{100:08b}{0:08b}{31:08b}1{chroma}1{order_count}{reference_frames}0{size}1101{usability}1"
    bits = bits.ljust((len(bits) + 7) // 8 * 8, "0")
    payload = int(bits, 2).to_bytes(len(bits) // 8, "big")
    unit = b"\x67" + re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", payload)
    return h264.describe(_record(unit))


@pytest.mark.parametrize(
    ("units", "scale", "is_fixed", "frame_rate"),
    [
        (1, 60, True, Fraction(30)),
        (1001, 60_000, False, Fraction(30_000, 1001)),
        (1, 2000, True, Fraction(1000)),
        (1, 2000, False, None),
        (0, 60, True, None),
        (1, 0, True, None),
    ],
)
def test_believes_a_frame_rate_only_if_it_can_be_one(
    units: int, scale: int, is_fixed: bool, frame_rate: Fraction | None
) -> None:
    described = _described(timing=f"1{units:032b}{scale:032b}{int(is_fixed)}")
    assert (described.width, described.height, described.frame_rate) == (1280, 720, frame_rate)


@pytest.mark.parametrize(
    ("order_count", "restriction", "has_reordering"),
    [
        (_golomb(0) + _golomb(0), "0", True),
        (_golomb(1) + "0" + "1" + "1" + _golomb(2) + "11", "0", True),
        (_golomb(2), "0", False),
        (_golomb(0) + _golomb(0), "11" + "1111" + _golomb(0) + _golomb(1), False),
        (_golomb(0) + _golomb(0), "11" + "1111" + _golomb(2) + _golomb(4), True),
    ],
    ids=["type 0", "type 1", "type 2", "restricted to none", "restricted to two"],
)
def test_knows_whether_frames_are_reordered(order_count: str, restriction: str, has_reordering: bool) -> None:
    assert _described(order_count, restriction=restriction).has_reordering is has_reordering


@pytest.mark.parametrize("b_frames", [0, 2])
def test_finds_b_frames(b_frames: int) -> None:
    encoded = encode(Codec.H264, None, b_frames)
    detector = BFrameDetector(encoded.tracks[0].config)
    found = [detector.add(packet.payload) for packet in encoded.packets]
    assert found[-1] == detector.has_b_frames == bool(b_frames)
    assert not found[0], "a keyframe is none"


def test_b_slices_without_reordering_are_no_b_frames() -> None:
    sample = b"\x00\x00\x00\x02\x41\xa0"  # first_mb_in_slice 0, slice_type 1
    assert h264.is_bidirectional(sample[4:])
    assert BFrameDetector(vectors.H264_720P).add(sample)
    assert not BFrameDetector(vectors.H264_1080P_BASELINE).add(sample)


@pytest.mark.parametrize("unit", [b"", b"\x41", b"\x41\x00\x00\x00\x00\x00\x00", b"\x06\xa0", b"\x41\xe0"])
def test_what_is_no_b_slice(unit: bytes) -> None:
    assert not h264.is_bidirectional(unit)


@pytest.mark.parametrize("sample", [b"", b"\x00", b"\x00\x00\x00\x09\x41\xa0", b"\x00\x00\x00\x00"])
def test_malformed_samples_are_no_b_frames(sample: bytes) -> None:
    assert not BFrameDetector(vectors.H264_720P).add(sample)
