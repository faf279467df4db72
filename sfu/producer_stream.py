"""One stream of a producer, a simulcast layer or all of it, on its way to consumers and taps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from sfu.forwarding import ConsumerState
from sfu.header_extensions import MAX_EXTENSIONS_SIZE, Batch
from sfu.media_plane import MediaPlane
from sfu.packet_layers import LayerReader, StreamPacket
from sfu.protocol.parameters import RtpCodecParameters
from sfu.protocol.rates import LayerRates, RateMeter
from sfu.protocol.reception import SenderClock
from sfu.protocol.retransmission import PacketRing
from sfu.protocol.rtp import RtpHeader

if TYPE_CHECKING:
    from sfu.consumer import Consumer

Places = dict[int, tuple[int, int]]

INACTIVE_AFTER = 1.5
"""Seconds without packets after which a layer is taken for switched off; screen sharing has long pauses."""
MAX_HELD = 16
"""Packets of a frame that wait for the rest of it."""
PADDING_LAYER = 99
"""The temporal layer of packets of nothing but padding: no consumer gets it, and none sees a gap."""


class StreamOwner(Protocol):
    """The producer."""

    def forward(self, stream: ProducerStream, batch: Batch) -> None:
        """Send a batch to whoever gets it."""

    def forward_to(self, stream: ProducerStream, batch: Batch, states: Sequence[ConsumerState]) -> None:
        """Send packets that waited to these consumers."""


class ProducerStream:
    """Gathers packets of a batch, keeps them for repair, and knows the rate of its layers."""

    __slots__ = (
        "_batch",
        "_owner",
        "_plane",
        "_reader",
        "_waits",
        "clock",
        "codec",
        "consumers",
        "index",
        "is_video",
        "keyframes",
        "last_at",
        "layer_rates",
        "newest_timestamp",
        "paced",
        "rate",
        "ring",
    )

    def __init__(
        self,
        index: int,
        codec: RtpCodecParameters,
        clock: SenderClock,
        descriptor_id: int,
        owner: StreamOwner,
        plane: MediaPlane,
    ) -> None:
        self.index = index
        self.codec = codec
        self.clock = clock
        self.is_video = codec.kind == "video"
        self.ring = PacketRing() if self.is_video else None
        """Audio has no RTX, so nothing of it is ever repeated."""
        self.rate = RateMeter()
        self.layer_rates = LayerRates()
        self.last_at = 0.0
        self.newest_timestamp = 0
        self.keyframes = 0
        self.consumers: Sequence[ConsumerState] = ()
        """Who may want packets of this stream, at once; set by the producer."""
        self.paced: Sequence[Consumer] = ()
        """Those whose packets may have to wait for their pace."""
        self._owner = owner
        self._plane = plane
        self._reader = LayerReader(codec.mime_type, descriptor_id)
        self._batch = Batch(index)
        self._waits = False

    def is_active(self, now: float) -> bool:
        """Return whether packets came lately."""
        return self.rate.packets > 0 and now - self.last_at < INACTIVE_AFTER

    def describe(self, packet: bytes, header: RtpHeader, places: Places, now: float) -> StreamPacket | None:
        """Return what a packet of video is to its stream; audio has nothing to describe."""
        if not self.is_video:
            return None
        detail = StreamPacket(self.index, header.sequence_number, header.timestamp, 0, now)
        payload_end = len(packet) - header.padding
        if payload_end <= header.payload_offset:
            detail.temporal, detail.start_of_frame = PADDING_LAYER, False
            return detail
        detail.payload = packet[header.payload_offset :]
        self._reader.read(detail, packet, places)
        return detail

    def push(
        self, packet: bytes, header: RtpHeader, places: Places, detail: StreamPacket | None, now: float
    ) -> None:
        """Take a packet that no one got yet, to be sent at the end of the batch.

        Raises nothing for what the packet holds, but leaves out what cannot be forwarded.
        """
        if header.extension_size > MAX_EXTENSIONS_SIZE:
            return
        size = len(packet)
        self.last_at = now
        self.newest_timestamp = header.timestamp
        self.rate.add(size, now)
        source = header.sequence_number
        if detail is None:
            self._append(packet, header, places, source, source)
            return
        if self.ring is not None:
            source = detail.source = self.ring.store(source, packet)
        self.keyframes += detail.keyframe
        if detail.temporal != PADDING_LAYER:
            self.layer_rates.add(detail.spatial, detail.temporal, size, now)
        self._append(packet, header, places, source, detail)

    def _append(self, packet: bytes, header: RtpHeader, places: Places, source: int, detail: object) -> None:
        """Do as Batch.add does, with what was parsed already."""
        batch = self._batch
        batch.places.append(places)
        batch.details.append(detail)
        batch.packets.append(packet)
        batch.headers.append(header)
        batch.sources.append(source)
        if not self._waits:
            self._waits = True
            self._plane.wait(self)

    def is_whole(self) -> bool:
        """Return whether the frame is complete, or sound, or long enough to be sent in parts."""
        headers = self._batch.headers
        return not self.is_video or not headers or headers[-1].marker or len(headers) >= MAX_HELD

    def flush(self) -> None:
        """Send what was gathered."""
        batch, self._batch = self._batch, Batch(self.index)
        self._waits = False
        if batch.packets:
            self._owner.forward(self, batch)

    def forward_to(self, batch: Batch, states: Sequence[ConsumerState]) -> None:
        """Send packets that waited."""
        self._owner.forward_to(self, batch, states)

    def restart(self) -> None:
        """The stream begins anew: send what came before, and forget it."""
        self.flush_now()
        self._reader.restart()
        if self.ring is not None:
            self.ring.clear()

    def flush_now(self) -> None:
        """Send what was gathered before the batch's end; the plane finds nothing to do then."""
        batch, self._batch = self._batch, Batch(self.index)
        if batch.packets:
            self._owner.forward(self, batch)

    def layers(self) -> list[tuple[int, int]]:
        """Return the (spatial, temporal) layers that came so far, the lowest first, at least one."""
        return self.layer_rates.layers() or [(0, 0)]
