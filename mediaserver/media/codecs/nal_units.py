"""NAL units as they stand in samples and byte streams; the same for H.264 and HEVC."""

from collections.abc import Iterator

from mediaserver.media.errors import CodecConfigError

START_CODE = b"\x00\x00\x00\x01"


def split_units(sample: bytes, length_size: int = 4) -> Iterator[bytes]:
    """The units of a length-prefixed sample. Raises CodecConfigError when a length points past the end."""
    position, end = 0, len(sample)
    while position < end:
        start = position + length_size
        length = int.from_bytes(sample[position:start], "big")
        position = start + length
        if start > end or position > end:
            raise CodecConfigError(f"NAL unit length {length} at byte {start - length_size} is past the end")
        if length:
            yield sample[start:position]


def join_units(units: Iterator[bytes] | list[bytes], length_size: int = 4) -> bytes:
    """The opposite of ``split_units``."""
    return b"".join(part for unit in units for part in (len(unit).to_bytes(length_size, "big"), unit))


def to_byte_stream(units: Iterator[bytes] | list[bytes]) -> bytes:
    """Annex B: every unit behind a start code."""
    return b"".join(part for unit in units for part in (START_CODE, unit))
