import pytest

from mediaserver.media.codecs.av1_sequence import av1_record
from mediaserver.media.errors import CodecConfigError
from tests.mediaserver.media.codecs import vectors


@pytest.mark.parametrize("record", [vectors.AV1_360P, vectors.AV1_10_BIT])
def test_makes_the_record_that_the_encoder_made(record: bytes) -> None:
    assert av1_record(record[4:], 2) == record


# Profile and whether it is a still picture with the short header; level 5, one pixel; three tools twice.
_SHORT = "{profile:03b} 1 1 00101 0000 0000 0 0 000 000 "


@pytest.mark.parametrize(
    ("profile", "colours", "flags"),
    [
        (0, "0 1 0", 0x1C),  # monochrome
        (0, "0 0 0 0 10", 0x0E),  # 4:2:0, sample position 2
        (1, "1 0 0", 0x40),  # 10 bit 4:4:4
        (1, "0 1 00000001 00001101 00000000", 0x00),  # sRGB
        (2, "0 0 0 0", 0x08),  # 8 bit 4:2:2
        (2, "1 1 0 0 0 1 1 00", 0x6C),  # 12 bit, free choice
    ],
)
def test_reads_the_colours_of_every_profile(profile: int, colours: str, flags: int) -> None:
    bits = (_SHORT.format(profile=profile) + colours).replace(" ", "")
    size = (len(bits) + 7) // 8
    body = int(bits.ljust(8 * size, "0"), 2).to_bytes(size, "big")
    record = av1_record(b"\x0a" + bytes((size,)) + body, 2)
    assert record[:4] == bytes((0x81, profile << 5 | 5, flags, 0))


@pytest.mark.parametrize("size", range(2, 11))
def test_refuses_headers_that_end_too_early(size: int) -> None:
    with pytest.raises(CodecConfigError, match="too early"):
        av1_record(vectors.AV1_10_BIT[4 : 4 + size], 2)
