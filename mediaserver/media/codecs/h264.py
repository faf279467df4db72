"""H.264: the avcC record (ISO 14496-15, 5.3.3.1) and sequence parameter sets (H.264, 7.3.2.1)."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Self

from mediaserver.media.codecs.bits import BitReader, without_emulation_prevention
from mediaserver.media.codecs.description import VideoDescription
from mediaserver.media.codecs.nal_units import split_units
from mediaserver.media.errors import CodecConfigError

UNIT_IDR: Final = 5
UNIT_SPS: Final = 7
UNIT_PPS: Final = 8
UNIT_DELIMITER: Final = 9
ACCESS_UNIT_DELIMITER: Final = b"\x09\xf0"
MAX_PARAMETER_SETS: Final = 64
MAX_SIZE_IN_BLOCKS: Final = 1024
"""Macroblocks along one edge: 16,384 pixels."""
MAX_NOMINAL_FRAME_RATE: Final = 240
"""Without a fixed rate, encoders name either the nominal one or the ticks of their clock, 1000 and more."""

_HIGH_PROFILES: Final = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
_EXTENDED_ASPECT_RATIO: Final = 255
_SLICES: Final = (1, 2, UNIT_IDR)
_SLICE_HEADER_SIZE: Final = 16
"""Bytes that hold first_mb_in_slice and slice_type, emulation prevention included."""
_BIDIRECTIONAL: Final = 1


def unit_type(unit: bytes) -> int:
    return unit[0] & 0x1F


def is_bidirectional(unit: bytes) -> bool:
    """Whether ``unit`` is a B slice (H.264, 7.4.3). Malformed ones are not; the decoder judges them."""
    if not unit or unit_type(unit) not in _SLICES:
        return False
    reader = BitReader(without_emulation_prevention(unit[1:_SLICE_HEADER_SIZE]))
    try:
        reader.unsigned_golomb()  # first_mb_in_slice
        return reader.unsigned_golomb() % 5 == _BIDIRECTIONAL
    except CodecConfigError:
        return False


class BFrameDetector:
    """Watches one track for frames that are shown in another order than they are sent.

    WebRTC has no word for that: its receivers show frames as they come. B slices alone prove nothing where
    the encoder says that it does not reorder.
    """

    __slots__ = ("_length_size", "_may_reorder", "has_b_frames")

    def __init__(self, record: bytes) -> None:
        """``record`` is the track's avcC. Raises CodecConfigError."""
        self.has_b_frames = False
        self._length_size = AvcConfiguration.parse(record).length_size
        self._may_reorder = describe(record).has_reordering

    def add(self, sample: bytes) -> bool:
        """Look at another frame; say whether any has been a B-frame by now."""
        if self._may_reorder and not self.has_b_frames:
            self.has_b_frames = self._has_bidirectional(sample)
        return self.has_b_frames

    def _has_bidirectional(self, sample: bytes) -> bool:
        try:
            units = split_units(sample, self._length_size)
            first_slice = next((unit for unit in units if unit_type(unit) in _SLICES), b"")
        except CodecConfigError:
            return False
        return is_bidirectional(first_slice)


@dataclass(frozen=True, slots=True)
class AvcConfiguration:
    """An avcC record. ``extension`` is what high profiles have behind the parameter sets, as it is."""

    profile: int
    compatibility: int
    level: int
    length_size: int
    sequence_parameter_sets: tuple[bytes, ...]
    picture_parameter_sets: tuple[bytes, ...]
    extension: bytes = b""

    @classmethod
    def parse(cls, record: bytes) -> Self:
        """Raises CodecConfigError."""
        if len(record) < 7 or record[0] != 1:
            raise CodecConfigError("avcC: not a version 1 record of at least 7 bytes")
        sequence_sets, position = _take_sets(record, 6, record[5] & 0x1F)
        if not sequence_sets or position >= len(record):
            raise CodecConfigError("avcC: no sequence parameter set, or the record ends after it")
        picture_sets, position = _take_sets(record, position + 1, record[position])
        return cls(
            record[1],
            record[2],
            record[3],
            (record[4] & 3) + 1,
            sequence_sets,
            picture_sets,
            record[position:],
        )

    def serialize(self) -> bytes:
        parts = [
            bytes((1, self.profile, self.compatibility, self.level, 0xFC | (self.length_size - 1))),
            bytes((0xE0 | len(self.sequence_parameter_sets),)),
        ]
        parts += [len(unit).to_bytes(2, "big") + unit for unit in self.sequence_parameter_sets]
        parts.append(bytes((len(self.picture_parameter_sets),)))
        parts += [len(unit).to_bytes(2, "big") + unit for unit in self.picture_parameter_sets]
        return b"".join((*parts, self.extension))


def _take_sets(record: bytes, position: int, count: int) -> tuple[tuple[bytes, ...], int]:
    if count > MAX_PARAMETER_SETS:
        raise CodecConfigError(f"avcC: {count} parameter sets")
    units = []
    for _ in range(count):
        end = position + 2 + int.from_bytes(record[position : position + 2], "big")
        if end > len(record) or end == position + 2:
            raise CodecConfigError(f"avcC: parameter set at byte {position} is empty or past the end")
        units.append(record[position + 2 : end])
        position = end
    return tuple(units), position


def describe(record: bytes) -> VideoDescription:
    """What an avcC record says. Raises CodecConfigError."""
    configuration = AvcConfiguration.parse(record)
    codec_string = (
        f"avc1.{configuration.profile:02X}{configuration.compatibility:02X}{configuration.level:02X}"
    )
    return _describe_sps(configuration.sequence_parameter_sets[0], codec_string)


def _describe_sps(unit: bytes, codec_string: str) -> VideoDescription:
    reader = BitReader(without_emulation_prevention(unit[1:]))
    profile = reader.bits(8)
    reader.skip(16)
    reader.unsigned_golomb()  # seq_parameter_set_id
    chroma_format = _skip_chroma(reader) if profile in _HIGH_PROFILES else 1
    reader.unsigned_golomb()  # log2_max_frame_num_minus4
    order_count_type = _skip_picture_order(reader)
    reference_frames = reader.unsigned_golomb()
    reader.skip(1)  # gaps_in_frame_num_value_allowed_flag
    width = _blocks(reader.unsigned_golomb())
    map_height = _blocks(reader.unsigned_golomb())
    is_progressive = reader.flag()
    if not is_progressive:
        reader.skip(1)  # mb_adaptive_frame_field_flag
    reader.skip(1)  # direct_8x8_inference_flag
    crop_x, crop_y = _cropping(reader, chroma_format, is_progressive) if reader.flag() else (0, 0)
    frame_rate, reorder_frames = _usability(reader) if reader.flag() else (None, None)
    if reorder_frames is None:
        # Without a word from the encoder: Baseline (66) has no B-frames, type 2 order allows none.
        reorder_frames = 0 if profile == 66 or order_count_type == 2 or reference_frames == 0 else 1
    width, height = width * 16 - crop_x, map_height * (16 if is_progressive else 32) - crop_y
    if width <= 0 or height <= 0:
        raise CodecConfigError("SPS: cropped to nothing")
    return VideoDescription(codec_string, width, height, frame_rate, reorder_frames > 0)


def _blocks(minus_one: int) -> int:
    if minus_one >= MAX_SIZE_IN_BLOCKS:
        raise CodecConfigError(f"SPS: {minus_one + 1} macroblocks along one edge")
    return minus_one + 1


def _skip_chroma(reader: BitReader) -> int:
    chroma_format = reader.unsigned_golomb()
    if chroma_format > 3:
        raise CodecConfigError(f"SPS: chroma_format_idc {chroma_format}")
    if chroma_format == 3:
        reader.skip(1)
    reader.unsigned_golomb()
    reader.unsigned_golomb()
    reader.skip(1)
    if reader.flag():  # seq_scaling_matrix_present_flag
        for index in range(12 if chroma_format == 3 else 8):
            if reader.flag():
                _skip_scaling_list(reader, 16 if index < 6 else 64)
    return chroma_format


def _skip_scaling_list(reader: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + reader.signed_golomb()) % 256
        last = following or last


def _skip_picture_order(reader: BitReader) -> int:
    kind = reader.unsigned_golomb()
    if kind == 0:
        reader.unsigned_golomb()
    elif kind == 1:
        reader.skip(1)
        reader.signed_golomb()
        reader.signed_golomb()
        count = reader.unsigned_golomb()
        if count > 255:
            raise CodecConfigError(f"SPS: num_ref_frames_in_pic_order_cnt_cycle {count}")
        for _ in range(count):
            reader.signed_golomb()
    return kind


def _cropping(reader: BitReader, chroma_format: int, is_progressive: bool) -> tuple[int, int]:
    left, right, top, bottom = (reader.unsigned_golomb() for _ in range(4))
    unit_x = 2 if chroma_format in (1, 2) else 1
    unit_y = (2 if chroma_format == 1 else 1) * (1 if is_progressive else 2)
    return (left + right) * unit_x, (top + bottom) * unit_y


def _usability(reader: BitReader) -> tuple[Fraction | None, int | None]:
    """Frame rate and max_num_reorder_frames out of the VUI (H.264, E.1.1)."""
    if reader.flag() and reader.bits(8) == _EXTENDED_ASPECT_RATIO:
        reader.skip(32)
    if reader.flag():
        reader.skip(1)
    if reader.flag():
        reader.skip(4)
        if reader.flag():
            reader.skip(24)
    if reader.flag():
        reader.unsigned_golomb()
        reader.unsigned_golomb()
    frame_rate = _timing(reader) if reader.flag() else None
    has_parameters = False
    for _ in range(2):
        if reader.flag():
            _skip_hypothetical_decoder(reader)
            has_parameters = True
    if has_parameters:
        reader.skip(1)
    reader.skip(1)
    if not reader.flag():  # bitstream_restriction_flag
        return frame_rate, None
    reader.skip(1)
    for _ in range(4):
        reader.unsigned_golomb()
    return frame_rate, reader.unsigned_golomb()


def _timing(reader: BitReader) -> Fraction | None:
    units, scale, is_fixed = reader.bits(32), reader.bits(32), reader.flag()
    if not units or not scale:
        return None
    frame_rate = Fraction(scale, 2 * units)
    return frame_rate if is_fixed or frame_rate <= MAX_NOMINAL_FRAME_RATE else None


def _skip_hypothetical_decoder(reader: BitReader) -> None:
    count = reader.unsigned_golomb() + 1
    if count > 32:
        raise CodecConfigError(f"SPS: cpb_cnt {count}")
    reader.skip(8)
    for _ in range(count):
        reader.unsigned_golomb()
        reader.unsigned_golomb()
        reader.skip(1)
    reader.skip(20)
