"""How much RTCP of one peer is read in a second: compounds, and what they expand to."""

from __future__ import annotations

from typing import Final

from sfu.protocol import rtcp

MAX_RTCP_PER_SECOND: Final = 150
"""Compounds of one peer, and MAX_RTCP_PER_CONSUMER more for each consumer; a browser sends 20 to 50."""
MAX_RTCP_PER_CONSUMER: Final = 4
MAX_EXPANDED_PER_SECOND: Final = 10_000
"""Lost numbers, statuses and orders together. Two bytes may speak of thousands of statuses, and 100 megabits
per second are as many packets to be told of.
"""


class RtcpLimit:
    """Counts by seconds of the clock."""

    __slots__ = ("_compounds", "_expanded", "_second", "dropped")

    def __init__(self) -> None:
        self.dropped = 0
        """Packets and compounds that were too many."""
        self._second = 0
        self._compounds = 0
        self._expanded = 0

    def admits(self, consumers: int, now: float) -> bool:
        """Count a compound of a peer with so many consumers; return whether it may be read."""
        second = int(now)
        if second != self._second:
            self._second, self._compounds, self._expanded = second, 0, 0
        self._compounds += 1
        if self._compounds <= MAX_RTCP_PER_SECOND + MAX_RTCP_PER_CONSUMER * consumers:
            return True
        self.dropped += 1
        return False

    def read(self, compound: bytes, *, is_measured: bool) -> list[rtcp.Event]:
        """Return what an admitted compound says, without what is too much or, unless measured, unasked.

        Raises MalformedPacket.
        """
        return rtcp.parse(compound, lambda packet: self._is_wanted(packet, is_measured))

    def _is_wanted(self, packet: tuple[int, int, bytes], is_measured: bool) -> bool:
        if not is_measured and rtcp.is_transport_feedback(packet):
            return False
        cost = rtcp.cost(packet)
        if self._expanded + cost > MAX_EXPANDED_PER_SECOND:
            self.dropped += 1
            return False
        self._expanded += cost
        return True
