"""AV1 sequence headers (AV1, 5.5) read as far as the av1C record (AV1 in ISOBMFF, 2.3.3) repeats them."""

from dataclasses import dataclass
from typing import Final

from mediaserver.media.codecs.bits import BitReader

_MARKER_AND_VERSION: Final = 0x81
_HIGHEST_LEVEL_WITHOUT_TIER: Final = 7
_SELECT: Final = 2
_SRGB: Final = (1, 13, 0)
_UNSPECIFIED: Final = (2, 2, 2)


@dataclass(slots=True)
class _Sequence:
    profile: int
    level: int = 0
    tier: int = 0
    depth: int = 8
    is_monochrome: bool = False
    subsampling_x: int = 1
    subsampling_y: int = 1
    sample_position: int = 0


def av1_record(header: bytes, body_offset: int) -> bytes:
    """The av1C record for a whole sequence header OBU that has its size field.

    ``body_offset`` is where the OBU's payload begins. Raises CodecConfigError.
    """
    sequence = _parse(BitReader(header[body_offset:]))
    flags = (
        sequence.tier << 7
        | (sequence.depth > 8) << 6
        | (sequence.depth > 10) << 5
        | sequence.is_monochrome << 4
        | sequence.subsampling_x << 3
        | sequence.subsampling_y << 2
        | sequence.sample_position
    )
    fields = (_MARKER_AND_VERSION, sequence.profile << 5 | sequence.level, flags, 0)
    return bytes(fields) + header


def _parse(reader: BitReader) -> _Sequence:
    sequence = _Sequence(reader.bits(3))
    reader.skip(1)  # still_picture
    is_reduced = reader.flag()
    if is_reduced:
        sequence.level = reader.bits(5)
    else:
        _read_operating_points(reader, sequence)
    width_bits, height_bits = reader.bits(4) + 1, reader.bits(4) + 1
    reader.skip(width_bits + height_bits)
    if not is_reduced and reader.flag():  # frame_id_numbers_present_flag
        reader.skip(7)
    reader.skip(3)  # superblock size, filter_intra, intra_edge_filter
    if not is_reduced:
        _skip_tools(reader)
    reader.skip(3)  # superres, cdef, restoration
    _read_colours(reader, sequence)
    return sequence


def _read_operating_points(reader: BitReader, sequence: _Sequence) -> None:
    """Level and tier of the first one, which is the one with all layers."""
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
    for index in range(reader.bits(5) + 1):
        reader.skip(12)
        level = reader.bits(5)
        tier = reader.bits(1) if level > _HIGHEST_LEVEL_WITHOUT_TIER else 0
        if has_decoder_model and reader.flag():
            reader.skip(2 * delay_bits + 1)
        if has_display_delay and reader.flag():
            reader.skip(4)
        if not index:
            sequence.level, sequence.tier = level, tier


def _skip_tools(reader: BitReader) -> None:
    reader.skip(4)  # interintra, masked compound, warped motion, dual filter
    has_order_hint = reader.flag()
    if has_order_hint:
        reader.skip(2)  # jnt_comp, ref_frame_mvs
    screen_content = _SELECT if reader.flag() else reader.bits(1)
    if screen_content and not reader.flag():  # seq_choose_integer_mv
        reader.skip(1)
    if has_order_hint:
        reader.skip(3)


def _read_colours(reader: BitReader, sequence: _Sequence) -> None:
    """color_config() of AV1, 5.5.2."""
    if reader.flag():  # high_bitdepth
        sequence.depth = 12 if sequence.profile == 2 and reader.flag() else 10
    sequence.is_monochrome = sequence.profile != 1 and reader.flag()
    colours = (reader.bits(8), reader.bits(8), reader.bits(8)) if reader.flag() else _UNSPECIFIED
    if sequence.is_monochrome:
        return
    if colours == _SRGB:
        sequence.subsampling_x = sequence.subsampling_y = 0
        return
    reader.skip(1)  # color_range
    if sequence.profile == 1:
        sequence.subsampling_x = sequence.subsampling_y = 0
    elif sequence.profile == 2:
        is_free = sequence.depth == 12
        sequence.subsampling_x = reader.bits(1) if is_free else 1
        sequence.subsampling_y = reader.bits(1) if is_free and sequence.subsampling_x else 0
    if sequence.subsampling_x and sequence.subsampling_y:
        sequence.sample_position = reader.bits(2)
