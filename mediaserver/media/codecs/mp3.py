"""MP3: the header of every frame (ISO 11172-3, 2.4.1.3; ISO 13818-3, 2.4.1.3)."""

from typing import Final

from mediaserver.media.codecs.description import AudioDescription
from mediaserver.media.errors import CodecConfigError

HEADER_SIZE: Final = 4

_VERSION_1: Final = 3
_LAYER_3: Final = 1
_SAMPLE_RATES: Final = {
    _VERSION_1: (44_100, 48_000, 32_000),
    2: (22_050, 24_000, 16_000),
    0: (11_025, 12_000, 8_000),
}
"""By version, of which 0 is the unofficial MPEG-2.5."""
_MONO: Final = 3


def config_of(frame: bytes) -> bytes:
    """The header of a frame, which stands for the configuration that MP3 does not have."""
    describe(frame[:HEADER_SIZE])
    return frame[:HEADER_SIZE]


def describe(header: bytes) -> AudioDescription:
    """What the header of a frame says. Raises CodecConfigError."""
    if len(header) < HEADER_SIZE or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        raise CodecConfigError("MP3: no frame header")
    version, layer, rate_index = (header[1] >> 3) & 3, (header[1] >> 1) & 3, (header[2] >> 2) & 3
    if layer != _LAYER_3 or version not in _SAMPLE_RATES or rate_index > 2:
        raise CodecConfigError(f"MP3: reserved value, or another layer, in header {header[:4].hex()}")
    channels = 1 if header[3] >> 6 == _MONO else 2
    samples = 1152 if version == _VERSION_1 else 576
    return AudioDescription("mp3", _SAMPLE_RATES[version][rate_index], channels, samples)
