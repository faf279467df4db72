"""Writes the committed corpora of `fuzz_rtx.py` and `fuzz_stream_repair.py`; run it after changing one.

Run: python -m tests.fuzz.repair_seeds
"""

import struct
from collections.abc import Iterable

from sfu.protocol import rtp
from sfu.protocol.retransmission import RtxEncoder
from tests.fuzz.seeds import write
from tests.sfu.protocol.test_retransmission import packet_of

RECORD = struct.Struct("!BBHL")
PACKETS = (
    packet_of(),
    packet_of(1, b"", 5),
    packet_of(2, b"x"),
    packet_of(3, b"abc", 0, rtp.serialize_extensions([(3, b"abc"), (5, b"12")])),
)
TARGET, REPORT, NACK = 0x84, 0x82, 0x80
KEYFRAME = 2
WANT_UPPER = RECORD.pack(TARGET, 0, 0x0702, 0)


def rtx_seeds() -> Iterable[bytes]:
    """Return RTX of packets of every form, padding, and what is no RTX."""
    encoder = RtxEncoder(97, 43, 0)
    for packet in PACKETS:
        yield bytes(encoder.encode(packet, rtp.parse(packet)))
    yield bytes(encoder.padding(20, 1))
    yield PACKETS[2]
    yield PACKETS[0][:11]


def _even() -> Iterable[bytes]:
    for step in range(60):
        yield RECORD.pack(0 if step else KEYFRAME, 1, 65500 + step & 0xFFFF, step * 3000)
        yield RECORD.pack(1 if step % 9 else 1 | KEYFRAME, 0, step, step * 3000 + 77)


def _gaps() -> Iterable[bytes]:
    for step in range(40):
        yield RECORD.pack(0 if step else KEYFRAME, 1, step * 3, step * 3000)
        yield RECORD.pack(NACK, 1, step, step)


def _jumps() -> Iterable[bytes]:
    for step in range(30):
        yield 2 * RECORD.pack(KEYFRAME, 5, step * 30011 & 0xFFFF, step * 0x10001011 & 0xFFFFFFFF)


def _temporal() -> Iterable[bytes]:
    for step in range(40):
        kind = (0 if step else KEYFRAME) | step % 4 << 2 | (16 if step % 8 == 1 else 0)
        yield RECORD.pack(kind, 1, step, step * 3000)
        yield RECORD.pack(TARGET, 0, step % 8 << 8 | 1, 0)


def stream_repair_seeds() -> Iterable[bytes]:
    """Return streams that are even, lossy, restarted, and thinned out."""
    reports = RECORD.pack(REPORT, 0, 7, 3_900_000_000) + RECORD.pack(REPORT | 1, 0, 9, 3_900_000_000)
    even = b"".join(_even())
    yield reports + even + WANT_UPPER + even
    yield WANT_UPPER + b"".join(_gaps())
    yield WANT_UPPER + b"".join(_jumps())
    yield WANT_UPPER + b"".join(_temporal())


if __name__ == "__main__":
    write("rtx", rtx_seeds())
    write("stream_repair", stream_repair_seeds())
