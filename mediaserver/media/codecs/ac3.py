"""AC-3: the header of every frame and the dac3 record made of it (ETSI TS 102 366, 4.3 and annex F.4)."""

from typing import Final

from mediaserver.media.codecs.bits import BitReader
from mediaserver.media.codecs.description import AudioDescription
from mediaserver.media.errors import CodecConfigError

SYNC_WORD: Final = b"\x0b\x77"
SAMPLES_PER_FRAME: Final = 1536
RECORD_SIZE: Final = 3

_SAMPLE_RATES: Final = (48_000, 44_100, 32_000)
_CHANNELS: Final = (2, 1, 2, 3, 3, 4, 4, 5)
"""Full-bandwidth channels by acmod."""
_MAX_STREAM_ID: Final = 8
"""Streams above are E-AC-3, whose header is another one."""
_SYNC_AND_CHECKSUM_BITS: Final = 32


def config_of(frame: bytes) -> bytes:
    """The dac3 record of a stream with this frame, for AC-3 has no configuration. Raises CodecConfigError."""
    if not frame.startswith(SYNC_WORD):
        raise CodecConfigError("AC-3: no sync word")
    reader = BitReader(frame)
    reader.skip(_SYNC_AND_CHECKSUM_BITS)
    rate_code, frame_size_code = reader.bits(2), reader.bits(6)
    stream_id, mode, channel_mode = reader.bits(5), reader.bits(3), reader.bits(3)
    if stream_id > _MAX_STREAM_ID:
        raise CodecConfigError(f"AC-3: bitstream identification {stream_id}")
    if channel_mode & 1 and channel_mode != 1:
        reader.skip(2)  # cmixlev
    if channel_mode & 4:
        reader.skip(2)  # surmixlev
    if channel_mode == 2:
        reader.skip(2)  # dsurmod
    has_low_frequency = reader.bits(1)
    fields = rate_code << 22 | stream_id << 17 | mode << 14 | channel_mode << 11
    record = (fields | has_low_frequency << 10 | (frame_size_code >> 1) << 5).to_bytes(RECORD_SIZE, "big")
    describe(record)
    return record


def describe(record: bytes) -> AudioDescription:
    """What a dac3 record says. Raises CodecConfigError."""
    if len(record) < RECORD_SIZE:
        raise CodecConfigError(f"dac3: shorter than {RECORD_SIZE} bytes")
    fields = int.from_bytes(record[:RECORD_SIZE], "big")
    rate_code = fields >> 22
    if rate_code >= len(_SAMPLE_RATES):
        raise CodecConfigError(f"dac3: sample rate code {rate_code}")
    channels = _CHANNELS[(fields >> 11) & 7] + ((fields >> 10) & 1)
    return AudioDescription("ac-3", _SAMPLE_RATES[rate_code], channels, SAMPLES_PER_FRAME)
