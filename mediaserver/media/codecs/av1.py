"""AV1: the av1C record (AV1 in ISOBMFF, 2.3.3) and the sequence header OBU (AV1, 5.5)."""

from typing import Final

from mediaserver.media.codecs.bits import BitReader
from mediaserver.media.codecs.description import VideoDescription
from mediaserver.media.errors import CodecConfigError

OBU_SEQUENCE_HEADER: Final = 1
OBU_TEMPORAL_DELIMITER: Final = 2
MAX_LEB128_BYTES: Final = 8
MAX_SIZE: Final = 16_384
"""Pixels along one edge, the most of any level."""
_HEADER_SIZE: Final = 4
_MAX_OPERATING_POINTS: Final = 32


def describe(record: bytes) -> VideoDescription:
    """What an av1C record says. Raises CodecConfigError."""
    if len(record) < _HEADER_SIZE or record[0] != 0x81:
        raise CodecConfigError("av1C: not a version 1 record of at least 4 bytes")
    profile, level = record[1] >> 5, record[1] & 0x1F
    tier = "H" if record[2] & 0x80 else "M"
    depth = (12 if record[2] & 0x20 else 10) if record[2] & 0x40 else 8
    width, height = _sequence_size(record[_HEADER_SIZE:])
    return VideoDescription(f"av01.{profile}.{level:02}{tier}.{depth:02}", width, height)


def split_obus(data: bytes) -> list[tuple[int, bytes]]:
    """(type, whole OBU) of each OBU in a temporal unit of the low-overhead format (AV1, 5.2)."""
    obus = []
    position = 0
    while position < len(data):
        header = data[position]
        start = position + (2 if header & 4 else 1)
        if header & 2:
            size, start = _leb128(data, start)
        else:
            size = len(data) - start
        end = start + size
        if header & 0x80 or end > len(data) or size < 0:
            raise CodecConfigError(f"OBU at byte {position} is malformed or past the end")
        obus.append(((header >> 3) & 0x0F, data[position:end]))
        position = end
    return obus


def without_temporal_delimiters(data: bytes) -> bytes:
    """As ISOBMFF samples are stored. Encoders put the delimiter first, if they send it at all."""
    if not data or (data[0] >> 3) & 0x0F != OBU_TEMPORAL_DELIMITER:
        return data
    return b"".join(obu for kind, obu in split_obus(data) if kind != OBU_TEMPORAL_DELIMITER)


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(MAX_LEB128_BYTES):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, position
    raise CodecConfigError("OBU: size is not a LEB128 number")


def _sequence_size(obus: bytes) -> tuple[int, int]:
    for kind, obu in split_obus(obus):
        if kind == OBU_SEQUENCE_HEADER:
            start = 2 if obu[0] & 4 else 1
            if obu[0] & 2:
                _, start = _leb128(obu, start)
            return _parse_sequence_header(BitReader(obu[start:]))
    return 0, 0


def _parse_sequence_header(reader: BitReader) -> tuple[int, int]:
    reader.skip(4)  # seq_profile, still_picture
    if reader.flag():  # reduced_still_picture_header
        reader.skip(5)
    else:
        _skip_operating_points(reader)
    width_bits, height_bits = reader.bits(4) + 1, reader.bits(4) + 1
    width, height = reader.bits(width_bits) + 1, reader.bits(height_bits) + 1
    if width > MAX_SIZE or height > MAX_SIZE:
        raise CodecConfigError(f"sequence header: size {width} x {height}")
    return width, height


def _skip_operating_points(reader: BitReader) -> None:
    delay_bits = 0
    has_decoder_model = False
    if reader.flag():  # timing_info_present_flag
        reader.skip(64)
        if reader.flag():  # equal_picture_interval
            reader.unsigned_golomb()  # uvlc() is Exp-Golomb below 32 leading zeros
        has_decoder_model = reader.flag()
        if has_decoder_model:
            delay_bits = reader.bits(5) + 1
            reader.skip(42)
    has_display_delay = reader.flag()
    for _ in range(min(reader.bits(5) + 1, _MAX_OPERATING_POINTS)):
        reader.skip(12)
        if reader.bits(5) > 7:
            reader.skip(1)
        if has_decoder_model and reader.flag():
            reader.skip(2 * delay_bits + 1)
        if has_display_delay and reader.flag():
            reader.skip(4)
