"""RTP packets around payloads of ours, for a stream that no browser sends."""

import secrets
import struct
from collections.abc import Sequence
from typing import Final

_HEADER: Final = struct.Struct("!BBHLL")
_VERSION: Final = 0x80
_MARKER: Final = 0x80


class RtpWriter:
    """Numbers the packets of one RTP stream. Header extensions are added where packets are forwarded.

    Counters are what a sender report tells (RFC 3550, 6.4.1).
    """

    def __init__(
        self,
        payload_type: int,
        ssrc: int,
        first_sequence: int | None = None,
        first_timestamp: int | None = None,
    ) -> None:
        """Where numbers begin is random unless given (RFC 3550, 5.1)."""
        self.ssrc: Final = ssrc
        self.packets = 0
        self.payload_bytes = 0
        self._payload_type = payload_type
        # Below 2**15 a loss of the first packets cannot mislead SRTP's rollover counter (RFC 3711, 3.3.1).
        self._sequence = secrets.randbelow(0x8000) if first_sequence is None else first_sequence
        self._base = secrets.randbits(32) if first_timestamp is None else first_timestamp

    def timestamp(self, ticks: int) -> int:
        """The RTP timestamp of ``ticks`` of the stream's own clock."""
        return (self._base + ticks) & 0xFFFF_FFFF

    def write(self, payloads: Sequence[bytes], ticks: int, *, is_frame: bool = True) -> list[bytes]:
        """A packet for each payload, all of the time ``ticks``; the last has the marker if it ends a frame.

        ``is_frame`` is False for audio, whose marker only means the beginning of speech (RFC 7587, 4.1).
        """
        timestamp = self.timestamp(ticks)
        packets = []
        for index, payload in enumerate(payloads):
            marker = _MARKER if is_frame and index == len(payloads) - 1 else 0
            header = _HEADER.pack(_VERSION, marker | self._payload_type, self._sequence, timestamp, self.ssrc)
            packets.append(header + payload)
            self._sequence = (self._sequence + 1) & 0xFFFF
            self.payload_bytes += len(payload)
        self.packets += len(payloads)
        return packets
