"""How much one peer may send: packets and bits per second, counted before anything is decrypted."""

from __future__ import annotations

from typing import Final

MAX_PACKETS: Final = 10_000
MAX_BITRATE: Final = 50_000_000
"""A picture of 4K takes 15 to 25 megabits per second."""


class IngressLimit:
    """Seconds that begin with a packet. `receive_rtp` asks for each one, so this does little."""

    __slots__ = ("_bits", "_ends_at", "_max_bits", "_max_packets", "_packets", "dropped")

    def __init__(self, max_packets: int = MAX_PACKETS, max_bitrate: int = MAX_BITRATE) -> None:
        self.dropped = 0
        """Packets that were too many."""
        self._max_packets = max_packets
        self._max_bits = max_bitrate
        self._packets = 0
        self._bits = 0
        self._ends_at = 0.0

    def admits(self, size: int, now: float) -> bool:
        """Count a packet of `size` bytes; return whether it may be taken."""
        if now >= self._ends_at:
            self._ends_at = now + 1.0
            self._packets, self._bits = self._max_packets, self._max_bits
        if self._packets and self._bits >= 8 * size:
            self._packets -= 1
            self._bits -= 8 * size
            return True
        self.dropped += 1
        return False
