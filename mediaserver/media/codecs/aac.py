"""AAC: AudioSpecificConfig (ISO 14496-3, 1.6.2.1) and ADTS headers (1.A.2.2)."""

from dataclasses import dataclass
from typing import Final, Self

from mediaserver.media.codecs.bits import BitReader
from mediaserver.media.codecs.description import AudioDescription
from mediaserver.media.errors import CodecConfigError

SAMPLE_RATES: Final = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000),
    *(22_050, 16_000, 12_000, 11_025, 8_000, 7_350),
)
CHANNELS: Final = (0, 1, 2, 3, 4, 5, 6, 8)
MAX_ADTS_FRAME: Final = 0x1FFF
ADTS_HEADER_SIZE: Final = 7

_OBJECT_SBR: Final = 5
_OBJECT_PARAMETRIC_STEREO: Final = 29
_EXPLICIT_RATE: Final = 15
_LOW_DELAY: Final = frozenset((23, 39))
_EXTENSIBLE: Final = frozenset((1, 2, 3, 4))
"""Object types behind which SBR may be signalled, if their channels are those of a number (4.4.1)."""
_HAS_FRAME_LENGTH: Final = _EXTENSIBLE | _LOW_DELAY | {6, 7}
_SBR_SYNC: Final = 0x2B7
_PARAMETRIC_STEREO_SYNC: Final = 0x548


@dataclass(frozen=True, slots=True)
class AacConfiguration:
    """``object_type`` is SBR or parametric stereo if either is signalled, in front or behind the core's part.

    ``sample_rate`` is the core's, which frames and timestamps count in; ``output_rate`` twice that with SBR.
    """

    object_type: int
    core_object_type: int
    sample_rate: int
    output_rate: int
    channel_configuration: int
    samples_per_frame: int

    @classmethod
    def parse(cls, config: bytes) -> Self:
        """Raises CodecConfigError."""
        reader = BitReader(config)
        object_type = core = _object_type(reader)
        sample_rate = output_rate = _sample_rate(reader)
        channels = reader.bits(4)
        if object_type in (_OBJECT_SBR, _OBJECT_PARAMETRIC_STEREO):
            output_rate = _sample_rate(reader)
            core = _object_type(reader)
        samples = 512 if core in _LOW_DELAY else 1024
        if core in _HAS_FRAME_LENGTH and reader.flag():  # frameLengthFlag
            samples = samples * 15 // 16
        if core in _EXTENSIBLE and object_type == core and channels:
            object_type, output_rate = _backward_compatible_extension(reader, core, sample_rate)
        return cls(object_type, core, sample_rate, output_rate, channels, samples)

    @property
    def channels(self) -> int:
        if self.object_type == _OBJECT_PARAMETRIC_STEREO:
            return 2
        known = self.channel_configuration < len(CHANNELS)
        return CHANNELS[self.channel_configuration] if known else 2


def _backward_compatible_extension(reader: BitReader, core: int, sample_rate: int) -> tuple[int, int]:
    """Object type and output rate, for decoders that look behind the part every decoder knows (1.6.6.1)."""
    if reader.flag():  # dependsOnCoreCoder
        reader.skip(14)
    reader.skip(1)
    if reader.remaining < 16 or reader.bits(11) != _SBR_SYNC or _object_type(reader) != _OBJECT_SBR:
        return core, sample_rate
    if not reader.flag():  # sbrPresentFlag
        return core, sample_rate
    output_rate = _sample_rate(reader)
    if reader.remaining >= 12 and reader.bits(11) == _PARAMETRIC_STEREO_SYNC and reader.flag():
        return _OBJECT_PARAMETRIC_STEREO, output_rate
    return _OBJECT_SBR, output_rate


def _object_type(reader: BitReader) -> int:
    kind = reader.bits(5)
    return 32 + reader.bits(6) if kind == 31 else kind


def _sample_rate(reader: BitReader) -> int:
    index = reader.bits(4)
    if index == _EXPLICIT_RATE:
        rate = reader.bits(24)
    elif index < len(SAMPLE_RATES):
        rate = SAMPLE_RATES[index]
    else:
        raise CodecConfigError(f"AudioSpecificConfig: sampling frequency index {index}")
    if not 1 <= rate <= 192_000:
        raise CodecConfigError(f"AudioSpecificConfig: sampling frequency {rate}")
    return rate


def describe(config: bytes) -> AudioDescription:
    """What an AudioSpecificConfig says. Raises CodecConfigError."""
    parsed = AacConfiguration.parse(config)
    return AudioDescription(
        f"mp4a.40.{parsed.object_type}", parsed.sample_rate, parsed.channels or 2, parsed.samples_per_frame
    )


def adts_prefix(config: bytes) -> tuple[int, int, int]:
    """(profile, sampling frequency index, channel configuration) for ``adts_header``."""
    parsed = AacConfiguration.parse(config)
    if parsed.sample_rate not in SAMPLE_RATES or not 1 <= parsed.core_object_type <= 4:
        raise CodecConfigError("AudioSpecificConfig: cannot be said in an ADTS header")
    channels = parsed.channel_configuration & 7
    return parsed.core_object_type - 1, SAMPLE_RATES.index(parsed.sample_rate), channels


def adts_header(prefix: tuple[int, int, int], payload_size: int) -> bytes:
    """The seven bytes in front of one raw frame, without a checksum. Raises CodecConfigError."""
    profile, rate, channels = prefix
    size = payload_size + ADTS_HEADER_SIZE
    if size > MAX_ADTS_FRAME:
        raise CodecConfigError(f"AAC frame of {payload_size} bytes does not fit in ADTS")
    fields = 0xFFF1 << 40 | profile << 38 | rate << 34 | channels << 30 | size << 13 | 0x7FF << 2
    return fields.to_bytes(ADTS_HEADER_SIZE, "big")
