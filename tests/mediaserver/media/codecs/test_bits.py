import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.media.codecs.bits import MAX_HEADER_SIZE, BitReader, without_emulation_prevention
from mediaserver.media.codecs.nal_units import join_units, split_units, to_byte_stream
from mediaserver.media.errors import CodecConfigError


def test_reads_the_most_significant_bit_first() -> None:
    reader = BitReader(b"\xa5\x0f")
    assert (reader.bits(4), reader.flag(), reader.bits(3), reader.bits(8)) == (10, False, 5, 15)
    with pytest.raises(CodecConfigError, match="1 bits too early"):
        reader.flag()


@pytest.mark.parametrize(
    ("bits", "unsigned", "signed"),
    [("1", 0, 0), ("010", 1, 1), ("011", 2, -1), ("00100", 3, 2), ("00101", 4, -2), ("0001000", 7, 4)],
)
def test_reads_exponential_golomb_codes(bits: str, unsigned: int, signed: int) -> None:
    data = int(bits.ljust(8, "0"), 2).to_bytes(1, "big")
    assert BitReader(data).unsigned_golomb() == unsigned
    assert BitReader(data).signed_golomb() == signed


def test_a_code_without_end_is_refused() -> None:
    with pytest.raises(CodecConfigError, match="Exp-Golomb"):
        BitReader(bytes(100)).unsigned_golomb()


def test_only_the_beginning_of_an_endless_header_is_read() -> None:
    reader = BitReader(bytes(MAX_HEADER_SIZE * 2))
    reader.skip(MAX_HEADER_SIZE * 8)
    with pytest.raises(CodecConfigError):
        reader.flag()


@pytest.mark.parametrize(
    ("unit", "payload"),
    [
        ("67 000003 01", "67 0000 01"),
        ("67 000003 000003 00", "67 0000 0000 00"),
        ("67 0000030003", "67 00000003"),
        ("67 0001", "67 0001"),
        ("67 000003", "67 0000"),
    ],
)
def test_takes_emulation_prevention_out(unit: str, payload: str) -> None:
    assert without_emulation_prevention(bytes.fromhex(unit)) == bytes.fromhex(payload)


units = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


@given(units, st.sampled_from([1, 2, 4]))
def test_splits_the_sample_it_joined(written: list[bytes], length_size: int) -> None:
    assert list(split_units(join_units(written, length_size), length_size)) == written


@given(st.binary(max_size=40), st.sampled_from([1, 2, 4]))
def test_any_sample_is_split_or_refused(sample: bytes, length_size: int) -> None:
    try:
        found = list(split_units(sample, length_size))
    except CodecConfigError:
        return
    assert sum(map(len, found)) <= len(sample)


@pytest.mark.parametrize("sample", [b"\x00", b"\x00\x00\x00\x05abcd", b"\x00\x00\x00\x01a\x00\x00"])
def test_a_length_past_the_end_is_refused(sample: bytes) -> None:
    with pytest.raises(CodecConfigError, match="NAL unit length"):
        list(split_units(sample))


def test_writes_start_codes() -> None:
    assert to_byte_stream([b"a", b"bc"]) == b"\x00\x00\x00\x01a\x00\x00\x00\x01bc"
