"""Which of a producer's simulcast streams a consumer gets, as one stream without seams.

Switches are made at keyframes only; sequence numbers go on without a gap; timestamps of the streams, which
have nothing to do with each other, are aligned by their sender reports (RFC 3550 6.4.1), so that neither
the picture's pace nor lip sync suffers. A producer with one stream is the same with one layer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sfu.protocol.reception import SenderClock
from sfu.protocol.sequence import SequenceRewriter

NONE = -1
DROPPED = -1
MAX_TEMPORAL = 7
MAX_OVERTAKEN = 128
"""Packets that are remembered for the case that they belong to a keyframe whose first packet is late."""
MINIMUM_STEP = 0.003
"""A keyframe of the same picture that was sent from the other layer comes this much later."""
MAX_DISAGREEMENT = 2.0
"""Sender reports that contradict the time of arrival by more are not believed."""

_MODULUS = 0xFFFF_FFFF


class LayerPacket:
    """What is to be known of an incoming packet; one object serves all consumers, and can be used again."""

    __slots__ = (
        "keyframe",
        "layer",
        "layer_sync",
        "sequence_number",
        "source",
        "start_of_frame",
        "switch_up",
        "temporal",
        "timestamp",
    )

    def __init__(
        self,
        layer: int = 0,
        sequence_number: int = 0,
        timestamp: int = 0,
        *,
        source: int = 0,
        keyframe: bool = False,
        start_of_frame: bool = True,
        temporal: int = 0,
        layer_sync: bool = False,
        switch_up: int = NONE,
    ) -> None:
        """`keyframe` is set on the first packet of a keyframe only; `layer_sync` is VP8's Y bit: who gets the
        lowest temporal layer can begin with this picture's. Who gets this picture can get all temporal layers
        up to `switch_up` that come after it.

        `source` is where the layer's PacketRing keeps the packet.
        """
        self.layer = layer
        self.sequence_number = sequence_number
        self.timestamp = timestamp
        self.source = source
        self.keyframe = keyframe
        self.start_of_frame = start_of_frame
        self.temporal = temporal
        self.layer_sync = layer_sync
        self.switch_up = switch_up


class SimulcastForwarder:
    """The state of one consumer: the layers it gets and wants, its numbers and timestamps.

    The caller adds `timestamp_offset` to the timestamp of what `forward` lets through, and after a packet
    that set `switched` lets the codec's own numbers (VP8 PictureID) follow the last ones sent, and then
    forwards the packets of `overtaken` (the `source` of each), which came before the keyframe's first one.
    """

    __slots__ = (
        "_aligned_offset",
        "_clock_rate",
        "_clocks",
        "_last_at",
        "_last_timestamp",
        "_overtaken",
        "_reference",
        "_rewriter",
        "_started",
        "current",
        "current_temporal",
        "overtaken",
        "switched",
        "target",
        "target_temporal",
        "timestamp_offset",
    )

    def __init__(self, clocks: Sequence[SenderClock], clock_rate: int, first_sequence_number: int) -> None:
        """`clocks` are those of the layers' streams, lowest layer first; they are read, not copied."""
        self.current = NONE
        self.current_temporal = NONE
        self.target = NONE
        self.target_temporal = NONE
        self.switched = False
        self.overtaken: list[int] = []
        self.timestamp_offset = 0
        self._clocks = clocks
        self._clock_rate = clock_rate
        self._rewriter = SequenceRewriter(first_sequence_number)
        self._reference = NONE
        self._aligned_offset = 0
        self._overtaken: deque[tuple[int, int, int]] = deque(maxlen=MAX_OVERTAKEN)
        self._started = False
        self._last_timestamp = 0
        self._last_at = 0.0

    def set_target(self, layer: int, temporal: int = MAX_TEMPORAL) -> None:
        """Say what the consumer shall get; NONE stops it at once, all else waits for a keyframe."""
        if not NONE <= layer < len(self._clocks) or not 0 <= temporal <= MAX_TEMPORAL:
            raise ValueError(f"there is no layer {layer}, {temporal}")
        self.target = layer
        self.target_temporal = temporal
        if layer == NONE:
            self.current = self.current_temporal = NONE
            self._overtaken.clear()

    def restart(self, layer: int) -> None:
        """The stream of `layer` begins anew (another SSRC, a jump): wait for its next keyframe."""
        self._overtaken.clear()
        if self.current == layer:
            self.current = self.current_temporal = NONE
        if self._reference == layer:
            self._reference = NONE

    @property
    def wanted_keyframe(self) -> int:
        """The layer from which a keyframe is awaited, or NONE."""
        return self.target if self.target != self.current else NONE

    def forward(self, packet: LayerPacket, now: float) -> int:
        """Return the outgoing sequence number, or DROPPED.

        What is dropped of the `current` layer was left out for its temporal layer: no gap in the numbers.
        """
        self.switched = False
        if packet.layer != self.current:
            if not self._is_step(packet.layer):
                return DROPPED
            if not packet.keyframe:
                self._overtaken.append((packet.layer, packet.sequence_number, packet.source))
                return DROPPED
            self._switch(packet, now)
        temporal = packet.temporal
        if (temporal > self.current_temporal or self.current_temporal != self.target_temporal) and (
            not self._passes(packet, temporal)
        ):
            self._rewriter.drop(packet.sequence_number)
            return DROPPED
        number = self._rewriter.rewrite(packet.sequence_number)
        if number is None:
            return DROPPED
        timestamp = (packet.timestamp + self.timestamp_offset) & _MODULUS
        if timestamp != self._last_timestamp:
            self._note_time(timestamp, now)
        return number

    def sender_timestamp(self, ntp: float) -> int | None:
        """Return the outgoing timestamp at an NTP time of the producer, for the consumer's sender reports.

        A consumer that gets all streams of a producer on the producer's own clock can play them in sync.
        """
        clock = self._clocks[self.current] if self.current != NONE else None
        if clock is None or not clock.known:
            return None
        return (clock.timestamp_at(ntp) + self.timestamp_offset) & _MODULUS

    def _is_step(self, layer: int) -> bool:
        """Whether `layer` is the target, or nearer to it from where the consumer is."""
        if self.current == NONE:
            return layer <= self.target
        return self.current < layer <= self.target or self.target <= layer < self.current

    def _passes(self, packet: LayerPacket, temporal: int) -> bool:
        """Change the temporal layer at frame borders: down at any, up where the stream allows it."""
        if packet.start_of_frame:
            if self.current_temporal > self.target_temporal:
                self.current_temporal = self.target_temporal
            else:
                self.current_temporal = higher_temporal(packet, self.current_temporal, self.target_temporal)
        return temporal <= self.current_temporal

    def _switch(self, packet: LayerPacket, now: float) -> None:
        """Go on with the stream of `packet`, which begins a keyframe: every temporal layer can follow."""
        if self._started:
            self._align(packet, now)
        else:
            self._started = True
            self._last_timestamp = packet.timestamp
            self._last_at = now
        self._reference = self.current = packet.layer
        self.current_temporal = self.target_temporal
        self._rewriter.sync(packet.sequence_number)
        self.switched = True
        self.overtaken = [
            source
            for layer, number, source in self._overtaken
            if layer == packet.layer and (number - packet.sequence_number) & 0xFFFF < 0x8000
        ]
        self._overtaken.clear()

    def _align(self, packet: LayerPacket, now: float) -> None:
        """Set the offset so that the picture keeps its time, but comes after all that were sent.

        The step that this needs is not carried on: `_aligned_offset` is without it.
        """
        elapsed = self._last_timestamp + int((now - self._last_at) * self._clock_rate)
        aligned = self._offset_by_reports(packet)
        if aligned is None or abs(_signed(packet.timestamp + aligned - elapsed)) > (
            MAX_DISAGREEMENT * self._clock_rate
        ):
            aligned = elapsed - packet.timestamp
        ahead = _signed(packet.timestamp + aligned - self._last_timestamp)
        step = max(0, int(MINIMUM_STEP * self._clock_rate) - ahead)
        self._aligned_offset = aligned & _MODULUS
        self.timestamp_offset = (aligned + step) & _MODULUS

    def _offset_by_reports(self, packet: LayerPacket) -> int | None:
        """Return the offset for the stream of `packet` by both streams' reports, None without them."""
        if self._reference == NONE:
            return None
        if self._reference == packet.layer:
            return self._aligned_offset
        reference, clock = self._clocks[self._reference], self._clocks[packet.layer]
        if not reference.known or not clock.known:
            return None
        sampled = reference.timestamp_at(clock.time_of(packet.timestamp))
        return sampled + self._aligned_offset - packet.timestamp

    def _note_time(self, timestamp: int, now: float) -> None:
        if _signed(timestamp - self._last_timestamp) > 0:
            self._last_timestamp = timestamp
            self._last_at = now


def higher_temporal(packet: LayerPacket, current: int, target: int) -> int:
    """Return the temporal layer that a consumer of `current` can have from the picture of `packet` on."""
    if current < packet.temporal <= target and packet.layer_sync:
        return packet.temporal
    if packet.temporal <= current < packet.switch_up:
        return max(current, min(target, packet.switch_up))
    return current


def _signed(distance: int) -> int:
    """Return a distance modulo 2**32 as the nearest one to 0."""
    return ((distance + 0x8000_0000) & _MODULUS) - 0x8000_0000
