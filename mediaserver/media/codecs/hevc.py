"""HEVC: the hvcC record (ISO 14496-15, 8.3.3.1) and sequence parameter sets (H.265, 7.3.2.2)."""

from dataclasses import dataclass
from typing import Final, Self

from mediaserver.media.codecs.bits import BitReader, without_emulation_prevention
from mediaserver.media.codecs.description import VideoDescription
from mediaserver.media.errors import CodecConfigError

UNIT_VPS: Final = 32
UNIT_SPS: Final = 33
UNIT_PPS: Final = 34
UNIT_DELIMITER: Final = 35
ACCESS_UNIT_DELIMITER: Final = b"\x46\x01\x50"
MAX_ARRAYS: Final = 16
MAX_PARAMETER_SETS: Final = 64
MAX_SIZE: Final = 16_888
_HEADER_SIZE: Final = 23


def unit_type(unit: bytes) -> int:
    return (unit[0] >> 1) & 0x3F


@dataclass(frozen=True, slots=True)
class HevcConfiguration:
    """An hvcC record: its fixed part as it is, and the parameter sets by NAL unit type."""

    header: bytes
    arrays: tuple[tuple[int, tuple[bytes, ...]], ...]

    @classmethod
    def parse(cls, record: bytes) -> Self:
        """Raises CodecConfigError."""
        if len(record) < _HEADER_SIZE or record[0] not in (0, 1):
            raise CodecConfigError(f"hvcC: not a version 1 record of at least {_HEADER_SIZE} bytes")
        count, position = record[22], _HEADER_SIZE
        if count > MAX_ARRAYS:
            raise CodecConfigError(f"hvcC: {count} arrays")
        arrays = []
        for _ in range(count):
            kind, units, position = _take_array(record, position)
            arrays.append((kind, units))
        return cls(record[:22], tuple(arrays))

    def serialize(self) -> bytes:
        parts = [self.header, bytes((len(self.arrays),))]
        for kind, units in self.arrays:
            parts.append(bytes((0x80 | kind,)) + len(units).to_bytes(2, "big"))
            parts += [len(unit).to_bytes(2, "big") + unit for unit in units]
        return b"".join(parts)

    @property
    def length_size(self) -> int:
        return (self.header[21] & 3) + 1

    def units(self, kind: int) -> tuple[bytes, ...]:
        return tuple(unit for other, units in self.arrays if other == kind for unit in units)

    @property
    def parameter_sets(self) -> tuple[bytes, ...]:
        """VPS, SPS and PPS in the order decoders want them."""
        return self.units(UNIT_VPS) + self.units(UNIT_SPS) + self.units(UNIT_PPS)


def _take_array(record: bytes, position: int) -> tuple[int, tuple[bytes, ...], int]:
    if position + 3 > len(record):
        raise CodecConfigError(f"hvcC: ends in the array header at byte {position}")
    kind, count = record[position] & 0x3F, int.from_bytes(record[position + 1 : position + 3], "big")
    if count > MAX_PARAMETER_SETS:
        raise CodecConfigError(f"hvcC: {count} NAL units of type {kind}")
    position += 3
    units = []
    for _ in range(count):
        end = position + 2 + int.from_bytes(record[position : position + 2], "big")
        if end > len(record) or end < position + 4:
            raise CodecConfigError(f"hvcC: NAL unit at byte {position} is too short or past the end")
        units.append(record[position + 2 : end])
        position = end
    return kind, tuple(units), position


def describe(record: bytes) -> VideoDescription:
    """What an hvcC record says. Raises CodecConfigError."""
    configuration = HevcConfiguration.parse(record)
    codec_string = _codec_string(configuration.header)
    sets = configuration.units(UNIT_SPS)
    if not sets:
        return VideoDescription(codec_string, has_reordering=True)
    width, height, reorder_frames = _parse_sps(sets[0])
    return VideoDescription(codec_string, width, height, None, reorder_frames > 0)


def _codec_string(header: bytes) -> str:
    """ISO 14496-15, annex E.3."""
    space = ("", "A", "B", "C")[header[1] >> 6]
    tier = "H" if header[1] & 0x20 else "L"
    compatibility = int(f"{int.from_bytes(header[2:6], 'big'):032b}"[::-1], 2)
    constraints = ".".join(f"{byte:X}" for byte in header[6:12].rstrip(b"\x00"))
    parts = ["hvc1", f"{space}{header[1] & 0x1F}", f"{compatibility:X}", f"{tier}{header[12]}"]
    return ".".join((*parts, constraints) if constraints else parts)


def _parse_sps(unit: bytes) -> tuple[int, int, int]:
    """Width, height and sps_max_num_reorder_pics of the highest layer."""
    reader = BitReader(without_emulation_prevention(unit[2:]))
    reader.skip(4)
    sub_layers = reader.bits(3)
    reader.skip(1)
    _skip_profile(reader, sub_layers)
    reader.unsigned_golomb()  # sps_seq_parameter_set_id
    chroma_format = reader.unsigned_golomb()
    if chroma_format == 3:
        reader.skip(1)
    width, height = reader.unsigned_golomb(), reader.unsigned_golomb()
    if reader.flag():
        left, right, top, bottom = (reader.unsigned_golomb() for _ in range(4))
        width -= (left + right) * (2 if chroma_format in (1, 2) else 1)
        height -= (top + bottom) * (2 if chroma_format == 1 else 1)
    if not (0 < width <= MAX_SIZE and 0 < height <= MAX_SIZE):
        raise CodecConfigError(f"SPS: size {width} x {height}")
    for _ in range(3):  # bit depths, log2_max_pic_order_cnt_lsb_minus4
        reader.unsigned_golomb()
    reorder_frames = 0
    for _ in range(sub_layers + 1 if reader.flag() else 1):
        reader.unsigned_golomb()
        reorder_frames = reader.unsigned_golomb()
        reader.unsigned_golomb()
    return width, height, reorder_frames


def _skip_profile(reader: BitReader, sub_layers: int) -> None:
    """profile_tier_level (H.265, 7.3.3)."""
    reader.skip(96)
    present = [(reader.flag(), reader.flag()) for _ in range(sub_layers)]
    if sub_layers:
        reader.skip(2 * (8 - sub_layers))
    for has_profile, has_level in present:
        reader.skip(88 * has_profile + 8 * has_level)
