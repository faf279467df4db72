"""RTP as cameras and microphones send it, by its outside: H.264 and Opus that no decoder has to like.

The last bytes of every media packet are a stamp: when it was sent.
"""

import struct
import time
from typing import Final

STAMP: Final = struct.Struct("!8sQ")
STAMP_MAGIC: Final = b"\x9bbench\x9d\xf1"

SPS: Final = bytes.fromhex("6742c01fd900a02ff9610000030001000003003c8f183248")
PPS: Final = bytes.fromhex("68cb83cb20")
PROFILE_LEVEL_ID: Final = "42e01f"
"""Constrained baseline, which the SPS is."""
PARAMETER_SETS: Final = b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in (SPS, PPS))
"""As one STAP-A (RFC 6184 5.7.1)."""
VIDEO_CLOCK: Final = 90_000
AUDIO_CLOCK: Final = 48_000
AUDIO_SECONDS: Final = 0.02

_FIXED: Final = struct.Struct("!BBHLL")
_EXTENSION_HEAD: Final = bytes.fromhex("bede0002")
_FU_A: Final = 0x7C
_START: Final = 0x80
_END: Final = 0x40
_IDR: Final = 5
_SLICE: Final = 1
_I_SLICE: Final = b"\x88\x84"
_P_SLICE: Final = b"\x9a\x02"
"""The beginnings of slice headers: first macroblock 0, and the type."""
_SILENCE: Final = b"\xff\xfe"
"""20 ms of one Opus frame."""
_OPUS_TOC: Final = 0xFB
_OPUS_PADDED_FRAME: Final = 0x41
"""Code 3: one frame, and padding behind it, where the stamp is (RFC 6716 3.2.5)."""


def stamp_now() -> bytes:
    """Return the stamp of a packet that is sent now."""
    return STAMP.pack(STAMP_MAGIC, time.time_ns())


def read_stamp(packet: bytes) -> int | None:
    """Return when a plain packet was sent, in nanoseconds of ``time.time_ns``; None if it has no stamp."""
    if len(packet) < STAMP.size:
        return None
    magic, sent_at = STAMP.unpack_from(packet, len(packet) - STAMP.size)
    return int(sent_at) if magic == STAMP_MAGIC else None


class RtpStream:
    """Numbers and counts the packets of one SSRC; each carries its mid and a transport-wide number."""

    def __init__(self, ssrc: int, payload_type: int, mid: str, mid_id: int, transport_id: int) -> None:
        self.ssrc = ssrc
        self.packets = 0
        self.octets = 0
        self.timestamp = 0
        self._payload_type = payload_type
        self._number = 1
        self._extensions = (
            _EXTENSION_HEAD
            + bytes((mid_id << 4 | len(mid) - 1,))
            + mid.encode()
            + bytes((transport_id << 4 | 1,))
        )
        self._fill = bytes(12 - len(self._extensions) - 2)
        if len(mid) != 1:
            raise ValueError("a mid of one letter is what there is room for")

    @property
    def overhead(self) -> int:
        """Bytes of a packet before its payload."""
        return _FIXED.size + len(self._extensions) + 2 + len(self._fill)

    def packet(self, payload: bytes, transport_number: int, *, is_last: bool) -> bytes:
        """Return the next packet."""
        number, self._number = self._number, self._number + 1 & 0xFFFF
        marker = 0x80 if is_last else 0
        head = _FIXED.pack(0x90, marker | self._payload_type, number, self.timestamp & 0xFFFFFFFF, self.ssrc)
        self.packets += 1
        self.octets += len(payload)
        transport = (transport_number & 0xFFFF).to_bytes(2, "big")
        return b"".join((head, self._extensions, transport, self._fill, payload))


def video_payloads(count: int, size: int, *, is_keyframe: bool) -> list[bytes]:
    """Return one frame's payloads of ``size`` bytes, all but the stamps that belong to their ends."""
    kind, slice_head = (_IDR, _I_SLICE) if is_keyframe else (_SLICE, _P_SLICE)
    body = size - STAMP.size
    if count == 1:
        return [(bytes((0x60 | kind,)) + slice_head).ljust(body, b"\x55")]
    payloads = []
    for index in range(count):
        flags = _START if index == 0 else _END if index == count - 1 else 0
        head = bytes((_FU_A, flags | kind)) + (slice_head if index == 0 else b"")
        payloads.append(head.ljust(body, b"\x55"))
    return payloads


def audio_payload(size: int) -> bytes:
    """Return an Opus packet of ``size`` bytes, all but the stamp that belongs to its end."""
    padding = size - 3 - len(_SILENCE)
    if not STAMP.size <= padding <= 254:
        raise ValueError("an audio packet has 21 to 259 bytes")
    return bytes((_OPUS_TOC, _OPUS_PADDED_FRAME, padding)) + _SILENCE + bytes(padding - STAMP.size)
