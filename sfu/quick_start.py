"""Lets consumers of a local producer begin at its last keyframe, since its source can make no other.

What was sent since then goes to the consumer in fast motion: its timestamps end where the stream is now, so
that the player's picture is there at once and no later than everybody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from sfu.header_extensions import Batch
from sfu.media_plane import MediaPlane
from sfu.producer_stream import ProducerStream
from sfu.protocol import rtp

if TYPE_CHECKING:
    from sfu.consumer import Consumer

MAX_GROUP: Final = 2000
"""Packets; the ring keeps no more than 2,500. A longer group of pictures cannot be caught up with."""
MAX_SHORT_GROUP: Final = 700
"""Packets, about 800 kB: more would be too much for somebody whose path loses packets already."""
TICK_SECONDS: Final = 0.01
PACKETS_PER_TICK: Final = 24
"""Together 23 Mb/s."""
FRAME_SECONDS: Final = 0.003
_MODULUS: Final = 0xFFFF_FFFF


class _Start:
    """One consumer on its way: the next packet, and the timestamps of the frames before it came."""

    __slots__ = ("consumer", "position", "timestamps")

    def __init__(self, consumer: Consumer, timestamps: dict[int, int]) -> None:
        self.consumer = consumer
        self.position = 0
        self.timestamps = timestamps


class QuickStart:
    """The present group of pictures, and the consumers that are still being sent it."""

    def __init__(self, stream: ProducerStream, plane: MediaPlane, caught_up: Callable[[], None]) -> None:
        """`caught_up` is called when consumers are to be sent what comes."""
        self._stream = stream
        self._plane = plane
        self._caught_up = caught_up
        self._group: list[int] = []
        self._timestamps: list[int] = []
        """Of the frames of the group, in their order."""
        self._is_whole = False
        self._starts: dict[str, _Start] = {}
        self._next_at = 0.0

    @property
    def waiting(self) -> Collection[str]:
        """The ids of the consumers that are not there yet."""
        return self._starts.keys()

    @property
    def is_short(self) -> bool:
        """Whether the group can be sent again to somebody who watches already."""
        return self._is_whole and 0 < len(self._group) <= MAX_SHORT_GROUP

    def sent(self, source: int, timestamp: int, *, keyframe: bool) -> None:
        """Note a packet of the stream by where its ring has it."""
        if keyframe and (not self._timestamps or timestamp != self._timestamps[-1]):
            self._begin_group()
        if not self._is_whole:
            return
        if len(self._group) >= MAX_GROUP:
            self._is_whole = False
            self._abandon()
            return
        self._group.append(source)
        if not self._timestamps or self._timestamps[-1] != timestamp:
            self._timestamps.append(timestamp)

    def _begin_group(self) -> None:
        self._group.clear()
        self._timestamps.clear()
        self._is_whole = True
        self._abandon()

    def _abandon(self) -> None:
        """Let those who were on their way wait for a keyframe like everybody else."""
        starts, self._starts = self._starts, {}
        for start in starts.values():
            start.consumer.selection.restart(0, 0, 0.0)
        if starts:
            self._caught_up()

    def begin(self, consumer: Consumer) -> bool:
        """Start `consumer`; False if it has to wait for a keyframe."""
        if not self._is_whole or not self._group or self._stream.ring is None:
            return False
        newest, count = self._timestamps[-1], len(self._timestamps)
        step = int(FRAME_SECONDS * self._stream.codec.clock_rate)
        timestamps = {
            timestamp: (newest - (count - 1 - index) * step) & _MODULUS
            for index, timestamp in enumerate(self._timestamps)
        }
        self._starts[consumer.id] = _Start(consumer, timestamps)
        return True

    def forget(self, consumer: Consumer) -> None:
        """The consumer wants nothing any more."""
        self._starts.pop(consumer.id, None)

    def tick(self, now: float) -> None:
        """Send everyone the next packets, when it is time."""
        if now < self._next_at:
            return
        self._next_at = now + TICK_SECONDS
        for start in tuple(self._starts.values()):
            if not start.consumer.is_active:
                continue
            end = min(start.position + PACKETS_PER_TICK, len(self._group))
            batch = self._batch(start, self._group[start.position : end], now)
            start.position = end
            if end == len(self._group):
                del self._starts[start.consumer.id]
                self._caught_up()
            self._stream.forward_to(batch, (start.consumer.state,))

    def _batch(self, start: _Start, sources: list[int], now: float) -> Batch:
        batch = Batch(self._stream.index)
        for source in sources:
            packet = self._stream.ring.find(source) if self._stream.ring is not None else None
            if packet is None:
                continue
            header = rtp.parse(packet)
            detail = self._stream.describe(packet, header, rtp.extensions(packet, header), now)
            header.timestamp = start.timestamps.get(header.timestamp, header.timestamp)
            if detail is not None:
                detail.timestamp, detail.source = header.timestamp, source
            batch.add(packet, source, header, detail)
        return batch
