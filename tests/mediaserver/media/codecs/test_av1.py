import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.media.codecs import av1
from mediaserver.media.errors import CodecConfigError
from tests.mediaserver.media.codecs import vectors

DELIMITER = b"\x12\x00"
SEQUENCE_HEADER = vectors.AV1_360P[4:]
FRAME = b"\x32\x03abc"
UNSIZED_FRAME = b"\x30rest"


def test_splits_a_temporal_unit() -> None:
    assert av1.split_obus(DELIMITER + SEQUENCE_HEADER + FRAME) == [
        (av1.OBU_TEMPORAL_DELIMITER, DELIMITER),
        (av1.OBU_SEQUENCE_HEADER, SEQUENCE_HEADER),
        (6, FRAME),
    ]


def test_an_obu_without_size_takes_the_rest() -> None:
    assert av1.split_obus(DELIMITER + UNSIZED_FRAME) == [(2, DELIMITER), (6, UNSIZED_FRAME)]


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        (SEQUENCE_HEADER + FRAME, DELIMITER + SEQUENCE_HEADER + FRAME),
        (FRAME, DELIMITER + FRAME),
        (FRAME, FRAME),
        (b"", DELIMITER),
        (b"", b""),
    ],
)
def test_takes_temporal_delimiters_out(stored: bytes, sent: bytes) -> None:
    assert av1.without_temporal_delimiters(sent) == stored


@pytest.mark.parametrize(
    "data",
    [b"\x12\x05abc", b"\x12\x80\x80", b"\x12", b"\x32" + b"\x80" * 9, b"\x92\x00", b"\x34"],
    ids=["past the end", "size cut off", "no size", "size of nine bytes", "forbidden bit", "no extension"],
)
def test_refuses_malformed_units(data: bytes) -> None:
    with pytest.raises(CodecConfigError, match="OBU"):
        av1.split_obus(data)


@given(st.lists(st.tuples(st.integers(1, 15), st.binary(max_size=300)), max_size=5))
def test_splits_what_was_joined(obus: list[tuple[int, bytes]]) -> None:
    wires = [(kind, bytes((kind << 3 | 2,)) + _leb128(len(body)) + body) for kind, body in obus]
    assert av1.split_obus(b"".join(wire for _, wire in wires)) == wires


def _leb128(value: int) -> bytes:
    low, high = value & 0x7F, value >> 7
    return bytes((low | 0x80, high)) if high else bytes((low,))


@pytest.mark.parametrize("record", [b"", b"\x81\x00\x00", b"\x01\x01\x0c\x00"])
def test_refuses_malformed_records(record: bytes) -> None:
    with pytest.raises(CodecConfigError, match="av1C"):
        av1.describe(record)


def test_a_record_without_a_sequence_header_says_no_size() -> None:
    description = av1.describe(vectors.AV1_360P[:4])
    assert (description.codec_string, description.width, description.height) == ("av01.0.01M.08", 0, 0)
