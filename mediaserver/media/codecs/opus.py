"""Opus: OpusHead (RFC 7845, 5.1), dOps (Opus in ISOBMFF, 4.3.2) and packet durations (RFC 6716, 3.1)."""

from typing import Final

from mediaserver.media.codecs.description import AudioDescription
from mediaserver.media.errors import CodecConfigError

CLOCK_RATE: Final = 48_000
MAGIC: Final = b"OpusHead"
HEAD_SIZE: Final = 19
MAX_PACKET_SAMPLES: Final = 5760
"""120 ms, the most a packet may hold."""

_SILK_SAMPLES: Final = (480, 960, 1920, 2880)
_HYBRID_SAMPLES: Final = (480, 960)
_CELT_SAMPLES: Final = (120, 240, 480, 960)


def check(head: bytes) -> None:
    """Raises CodecConfigError unless ``head`` is an OpusHead of version 0 or 1."""
    if not head.startswith(MAGIC) or len(head) < HEAD_SIZE or head[8] & 0xF0:
        raise CodecConfigError(f"OpusHead: not a version 1 header of at least {HEAD_SIZE} bytes")
    mapping_size = 2 + head[9] if head[18] else 0
    if not head[9] or len(head) < HEAD_SIZE + mapping_size:
        raise CodecConfigError("OpusHead: no channels, or their mapping is cut off")


def describe(head: bytes) -> AudioDescription:
    check(head)
    return AudioDescription("opus", CLOCK_RATE, head[9], 0)


def specific_box(head: bytes) -> bytes:
    """The payload of dOps: the same fields, big-endian and of version 0."""
    check(head)
    pre_skip, rate = head[10:12][::-1], head[12:16][::-1]
    return b"\x00" + head[9:10] + pre_skip + rate + head[16:18][::-1] + head[18:]


def packet_samples(packet: bytes) -> int:
    """Samples at 48 kHz in a packet, by its table-of-contents byte; 0 for an empty or malformed one."""
    if not packet:
        return 0
    mode, layout = packet[0] >> 3, packet[0] & 3
    if mode < 12:
        samples = _SILK_SAMPLES[mode & 3]
    elif mode < 16:
        samples = _HYBRID_SAMPLES[mode & 1]
    else:
        samples = _CELT_SAMPLES[mode & 3]
    frames = (1, 2, 2, 0)[layout]
    if layout == 3 and len(packet) > 1:
        frames = packet[1] & 0x3F
    total = samples * frames
    return total if total <= MAX_PACKET_SAMPLES else 0
