"""FLAC: the STREAMINFO metadata block (RFC 9639, 8.2)."""

from typing import Final

from mediaserver.media.codecs.bits import BitReader
from mediaserver.media.codecs.description import AudioDescription
from mediaserver.media.errors import CodecConfigError

MARKER: Final = b"fLaC"
"""In front of the metadata blocks in files and in Enhanced RTMP, but not in dfLa."""

_STREAM_INFO: Final = 0
_STREAM_INFO_SIZE: Final = 34
_BLOCK_HEADER_SIZE: Final = 4


def describe(config: bytes) -> AudioDescription:
    """What the metadata blocks say, with the marker before them or not. Raises CodecConfigError."""
    blocks = config.removeprefix(MARKER)
    size = int.from_bytes(blocks[1:_BLOCK_HEADER_SIZE], "big")
    if len(blocks) < _BLOCK_HEADER_SIZE + _STREAM_INFO_SIZE or size != _STREAM_INFO_SIZE:
        raise CodecConfigError(f"FLAC: STREAMINFO is not {_STREAM_INFO_SIZE} bytes long")
    if blocks[0] & 0x7F != _STREAM_INFO:
        raise CodecConfigError(f"FLAC: the first metadata block is of type {blocks[0] & 0x7F}")
    reader = BitReader(blocks[_BLOCK_HEADER_SIZE : _BLOCK_HEADER_SIZE + _STREAM_INFO_SIZE])
    least_samples, most_samples = reader.bits(16), reader.bits(16)
    reader.skip(48)  # frame sizes
    sample_rate, channels = reader.bits(20), reader.bits(3) + 1
    if not sample_rate:
        raise CodecConfigError("FLAC: sample rate 0")
    samples = most_samples if least_samples == most_samples else 0
    return AudioDescription("flac", sample_rate, channels, samples)
