"""Which packets of a producer one consumer gets, and under which numbers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from sfu.packet_layers import StreamPacket
from sfu.protocol.payloads.consumer_pictures import ConsumerPictures
from sfu.protocol.reception import SenderClock
from sfu.protocol.sequence import SequenceRewriter
from sfu.protocol.simulcast import DROPPED, MAX_TEMPORAL, NONE, SimulcastForwarder

_MODULUS = 0xFFFF_FFFF
TOP_TEMPORAL: Final = MAX_TEMPORAL


def first_sequence_number() -> int:
    """Return a number to begin with: below 2**15, so that SRTP's rollover counter cannot be misled."""
    return secrets.randbelow(0x8000)


class Selection(Protocol):
    """What a consumer asks of it."""

    timestamp_offset: int
    overtaken: list[int]

    @property
    def current(self) -> int:
        """The spatial layer (or simulcast stream) that is being sent, NONE before and without one."""
        ...

    @property
    def current_temporal(self) -> int:
        """The temporal layer that is being sent."""
        ...

    @property
    def wanted_keyframe(self) -> int:
        """The stream from which a keyframe is awaited, or NONE."""
        ...

    def rewrite(self, detail: Any) -> int | None:
        """Return a packet's outgoing number, None or DROPPED for one that is left out."""
        ...

    def set_target(self, spatial: int, temporal: int) -> None:
        """Say what the consumer shall get; NONE stops it."""
        ...

    def wants(self, stream: int) -> bool:
        """Return whether packets of a stream have to be shown to `rewrite`."""
        ...

    def restart(self, stream: int, timestamp: int, now: float) -> None:
        """A stream begins anew; its next packet has `timestamp`."""
        ...

    def sender_timestamp(self, ntp: float) -> int | None:
        """Return the outgoing timestamp at an NTP time of the producer."""
        ...


class AudioSelection:
    """All packets of one stream, under contiguous numbers; a pause leaves no gap."""

    __slots__ = ("_clock", "_is_running", "_rewriter", "_target", "overtaken", "timestamp_offset")

    def __init__(self, clock: SenderClock) -> None:
        self.timestamp_offset = 0
        self.overtaken: list[int] = []
        self._clock = clock
        self._rewriter = SequenceRewriter(first_sequence_number())
        self._target = NONE
        self._is_running = False

    @property
    def current(self) -> int:
        """0 while anything is sent."""
        return self._target

    @property
    def current_temporal(self) -> int:
        """Audio has one layer."""
        return 0

    @property
    def wanted_keyframe(self) -> int:
        """Audio waits for none."""
        return NONE

    def rewrite(self, detail: int) -> int | None:
        """Return a packet's outgoing number."""
        if not self._is_running:
            self._is_running = True
            self._rewriter.sync(detail)
        return self._rewriter.rewrite(detail)

    def set_target(self, spatial: int, temporal: int) -> None:
        """Go on or stop."""
        self._target = min(spatial, 0)
        self._is_running = self._is_running and spatial != NONE

    def wants(self, stream: int) -> bool:
        """There is one stream."""
        return self._target != NONE

    def restart(self, stream: int, timestamp: int, now: float) -> None:
        """Follow the last number sent; the timestamps begin anew, as the producer's do."""
        self._is_running = False

    def sender_timestamp(self, ntp: float) -> int | None:
        """Return the outgoing timestamp at an NTP time of the producer."""
        if not self._clock.known:
            return None
        return (self._clock.timestamp_at(ntp) + self.timestamp_offset) & _MODULUS


class VideoSelection:
    """One of a producer's streams at a time, changed at keyframes, and of it the temporal layers wanted."""

    __slots__ = ("_forward", "_layers", "_on_switch", "_pictures", "overtaken", "timestamp_offset")

    def __init__(
        self,
        clocks: Sequence[SenderClock],
        clock_rate: int,
        pictures: ConsumerPictures | None,
        on_switch: Callable[[], None],
    ) -> None:
        """`on_switch` is called when another stream begins, before its first packet is sent."""
        self.timestamp_offset = 0
        self.overtaken: list[int] = []
        self._layers = SimulcastForwarder(clocks, clock_rate, first_sequence_number())
        self._forward = self._layers.forward
        self._on_switch = on_switch
        self._pictures = pictures

    @property
    def current(self) -> int:
        """The stream that is being sent."""
        return self._layers.current

    @property
    def current_temporal(self) -> int:
        """The temporal layer that is being sent."""
        return self._layers.current_temporal

    @property
    def wanted_keyframe(self) -> int:
        """The stream from which a keyframe is awaited."""
        return self._layers.wanted_keyframe

    def rewrite(self, detail: StreamPacket) -> int:
        """Return a packet's outgoing number, or DROPPED."""
        number = self._forward(detail, detail.arrived_at)
        if number == DROPPED:
            if self._pictures is not None and detail.layer == self._layers.current:
                self._pictures.drop(detail.payload)
        elif self._layers.switched:
            self._switch(detail)
        return number

    def _switch(self, detail: StreamPacket) -> None:
        self.timestamp_offset = self._layers.timestamp_offset
        self.overtaken = self._layers.overtaken
        if self._pictures is not None:
            self._pictures.sync(detail.payload)
        self._on_switch()

    def set_target(self, spatial: int, temporal: int) -> None:
        """Say what the consumer shall get; what needs a keyframe waits for it."""
        self._layers.set_target(spatial, temporal)

    def wants(self, stream: int) -> bool:
        """Return whether the stream is sent, or may be at its next keyframe."""
        current, target = self._layers.current, self._layers.target
        return min(current, target) <= stream <= max(current, target)

    def restart(self, stream: int, timestamp: int, now: float) -> None:
        """Wait for the next keyframe of a stream that begins anew."""
        self._layers.restart(stream)

    def sender_timestamp(self, ntp: float) -> int | None:
        """Return the outgoing timestamp at an NTP time of the producer."""
        return self._layers.sender_timestamp(ntp)
