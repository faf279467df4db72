"""FLAC: the STREAMINFO metadata block (RFC 9639, 8.2)."""

from typing import Final

from mediaserver.media.codecs.bits import BitReader
from mediaserver.media.codecs.description import AudioDescription
from mediaserver.media.errors import CodecConfigError

MARKER: Final = b"fLaC"
"""In front of the metadata blocks in files and in Enhanced RTMP, but not in dfLa."""

_STREAM_INFO: Final = 0
_STREAM_INFO_HEADER: Final = b"\x80\x00\x00\x22"
"""As the last block."""
_STREAM_INFO_SIZE: Final = 34
_BLOCK_HEADER_SIZE: Final = 4


def metadata_blocks(config: bytes) -> bytes:
    """The blocks as dfLa holds them. ffmpeg sends STREAMINFO over RTMP without marker and block header."""
    blocks = config.removeprefix(MARKER)
    return _STREAM_INFO_HEADER + blocks if len(blocks) == _STREAM_INFO_SIZE else blocks


def describe(config: bytes) -> AudioDescription:
    """What the metadata blocks say. Raises CodecConfigError."""
    blocks = metadata_blocks(config)
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
