"""What one peer gets of one producer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sfu.forwarding import ConsumerState
from sfu.header_extensions import Batch
from sfu.media_plane import MediaPlane
from sfu.pacing import Piece, Waiting
from sfu.producer_stream import ProducerStream
from sfu.protocol import red, rtcp, rtp
from sfu.protocol.congestion.pacer import Pacer
from sfu.protocol.parameters import Kind, RtpCodecParameters, RtpParameters
from sfu.protocol.payloads.consumer_pictures import ConsumerPictures, consumer_pictures
from sfu.protocol.rates import RateMeter
from sfu.protocol.reception import NTP_FRACTION, ReceptionReport, RemoteReception
from sfu.protocol.simulcast import NONE
from sfu.repair import Repair
from sfu.selection import TOP_TEMPORAL, AudioSelection, Selection, VideoSelection
from sfu.svc_selection import SvcSelection

if TYPE_CHECKING:
    from sfu.producer import Producer

MAX_REPORTS: Final = 4
"""Sender reports remembered for the round trip: peers answer the latest ones."""


class Layers(NamedTuple):
    """A spatial layer, or stream of simulcast, and a temporal one; None is the highest."""

    spatial: int
    temporal: int | None = None


class Downlink(Protocol):
    """The sending side of the transport."""

    @property
    def is_connected(self) -> bool:
        """Whether anything can be sent."""
        ...

    def remove(self, consumer: Consumer) -> None:
        """Forget a consumer."""

    def reallocate(self) -> None:
        """Say anew which layers each consumer gets; soon, and once for what peers ask for by the hundred."""

    def changed(self, consumer: Consumer) -> None:
        """Stop a consumer, or let it go on, together with those of many other transports."""

    def resumed(self, consumer: Consumer) -> None:
        """Let a consumer begin whose peer waits for it."""

    def overflown(self) -> None:
        """Too much waits for the pace, and is gone now."""

    def tell_closed(self, consumer: Consumer) -> None:
        """Its producer was closed."""

    def tell_paused(self, consumer: Consumer) -> None:
        """Its producer was paused, or goes on."""

    def tell_layers(self, consumer: Consumer) -> None:
        """Other layers are being sent."""


class Consumer:
    """Its `state` is what the forwarding loop knows of it; all else happens between batches."""

    def __init__(
        self,
        producer: Producer,
        parameters: RtpParameters,
        state: ConsumerState,
        downlink: Downlink,
        plane: MediaPlane,
        *,
        paused: bool,
        preferred: Layers | None,
    ) -> None:
        """`state` has a path and a plan; how it numbers packets is set here."""
        self.id = str(uuid.uuid4())
        self.producer = producer
        self.rtp_parameters = parameters
        self.paused = paused
        self.preferred_layers = preferred
        self.priority = 1
        self.suspended = False
        """By the room, whatever the peer wants: nothing is sent, and the others get its share."""
        self.is_closed = False
        self.state = state
        codec = parameters.codecs[0]
        self.remote = RemoteReception(codec.clock_rate)
        self.rate = RateMeter()
        pictures = consumer_pictures(codec.mime_type)
        self.selection: Selection = _selection(producer, codec, pictures, self._switch)
        self.repair = Repair.of(producer, parameters, state, pictures, plane)
        state.carried_payload_type = red.carried_payload_type(codec)
        state.rewrite = self.selection.rewrite
        state.payload_rewriter = pictures
        state.history = self.repair.history if self.repair is not None else None
        self._downlink = downlink
        self._plane = plane
        self.target = NONE
        self.target_temporal = 0
        self.began_at = float("-inf")
        """When it was last sent a keyframe that was there already."""
        self.pacer: Pacer[Waiting] | None = None
        """The transport's, if packets have to wait for it."""
        self._told_layers: Layers | None = None
        self._reports: dict[int, float] = {}
        self._name = _source_name(state.ssrc, parameters.rtcp.cname or producer.id)

    @property
    def producer_id(self) -> str:
        """The producer's id."""
        return self.producer.id

    @property
    def kind(self) -> Kind:
        """`audio` or `video`."""
        return self.producer.kind

    @property
    def type(self) -> str:
        """`simple`, `simulcast` or `svc`, as the producer."""
        return self.producer.type

    @property
    def ssrc(self) -> int:
        """The one stream's SSRC."""
        return self.state.ssrc

    @property
    def producer_paused(self) -> bool:
        """Whether the producer is paused."""
        return self.producer.paused

    @property
    def is_active(self) -> bool:
        """Whether it gets what comes."""
        is_stopped = self.paused or self.suspended or self.producer.paused or self.is_closed
        return not is_stopped and self._downlink.is_connected

    @property
    def current_layers(self) -> Layers | None:
        """What is being sent, None for nothing."""
        current = self.selection.current
        if current == NONE:
            return None
        stream = self.producer.streams[self._stream_of(current)]
        highest = max(temporal for _, temporal in stream.layers())
        return Layers(current, min(self.selection.current_temporal, highest))

    def pause(self) -> None:
        """Get nothing until `resume`."""
        if not self.paused:
            self.paused = True
            self._downlink.changed(self)

    def resume(self) -> None:
        """Go on; video begins with a keyframe."""
        if self.paused:
            self.paused = False
            self._downlink.resumed(self)

    def set_suspended(self, suspended: bool) -> None:
        """Get nothing while suspended, and go on with a keyframe."""
        if self.suspended is not suspended:
            self.suspended = suspended
            self._downlink.changed(self)

    def set_preferred_layers(self, spatial: int, temporal: int | None = None) -> None:
        """Get no higher layers than these."""
        last = self.producer.spatial_layers - 1
        self.preferred_layers = Layers(max(0, min(spatial, last)), temporal)
        self._downlink.reallocate()

    def set_priority(self, priority: int) -> None:
        """Set its share, from 1 to 255, of what the transport can send."""
        self.priority = min(max(priority, 1), 255)
        self._downlink.reallocate()

    def request_keyframe(self) -> None:
        """Ask the producer for a keyframe of what is sent, or waited for."""
        if self.kind == "video" and self.is_active and not self.producer.renew(self):
            wanted = self.selection.wanted_keyframe
            layer = wanted if wanted != NONE else self.selection.current
            self.producer.request_keyframe(self._stream_of(layer) if layer != NONE else None)

    def _stream_of(self, layer: int) -> int:
        """Return the stream that a spatial layer is in: of a scalable producer all are in one."""
        return min(layer, len(self.producer.streams) - 1)

    def close(self) -> None:
        """End it; does nothing a second time."""
        if not self.is_closed:
            self.is_closed = True
            self.producer.remove_consumer(self)
            self._downlink.remove(self)

    def set_target(self, spatial: int, temporal: int | None) -> None:
        """Get this layer, as soon as it can be switched to; NONE is nothing."""
        wanted = TOP_TEMPORAL if temporal is None else min(temporal, TOP_TEMPORAL)
        if (spatial, wanted) == (self.target, self.target_temporal):
            return
        is_new = spatial != self.target
        self.target, self.target_temporal = spatial, wanted
        self.selection.set_target(spatial, wanted)
        if is_new:
            self.producer.refresh()
            if self.selection.wanted_keyframe != NONE:
                self.producer.start(self)
            elif spatial == NONE:
                self.producer.stop(self)
            self._tell_layers()

    def begin_anew(self) -> None:
        """Go on with a keyframe: packets were lost on this side."""
        spatial, temporal = self.target, self.target_temporal
        self.set_target(NONE, 0)
        self.set_target(spatial, temporal)

    def queue(self, waiting: Sequence[Piece]) -> None:
        """Let pieces wait for the pace; what overflows is worth less than a keyframe."""
        for piece in waiting:
            if self.pacer is not None and not self.pacer.queue((self, piece), piece.size):
                self._downlink.overflown()
                return

    @property
    def has_layers(self) -> bool:
        """Whether there is a choice of layers."""
        return self.producer.type != "simple"

    @property
    def can_probe(self) -> bool:
        """Whether padding of its RTX stream can be sent, with transport-wide numbers."""
        return self.is_active and self.repair is not None and self.state.plan.transport_sequence > 0

    def producer_changed(self) -> None:
        """The producer was paused, or goes on."""
        self._downlink.changed(self)
        self._downlink.tell_paused(self)

    def producer_closed(self) -> None:
        """The producer has ended, and this with it."""
        if not self.is_closed:
            self.is_closed = True
            self._downlink.remove(self)
            self._downlink.tell_closed(self)

    def _switch(self) -> None:
        """Another stream begins: its timestamps are others."""
        self.state.timestamp_offset = self.selection.timestamp_offset
        self.producer.note_switch(self)

    def after_switch(self, stream: ProducerStream, now: float) -> None:
        """Send what overtook the keyframe's first packet, and tell of the layer."""
        overtaken, self.selection.overtaken = self.selection.overtaken, []
        batch = Batch(stream.index)
        for source in overtaken:
            packet = stream.ring.find(source) if stream.ring is not None else None
            if packet is not None:
                header = rtp.parse(packet)
                detail = stream.describe(packet, header, rtp.extensions(packet, header), now)
                batch.add(packet, source, header, detail)
        if batch.packets:
            self._plane.forwarder.forward(batch, (self.state,), now)
        self._tell_layers()

    def _tell_layers(self) -> None:
        layers = self.current_layers
        if self.has_layers and layers != self._told_layers:
            self._told_layers = layers
            self._downlink.tell_layers(self)

    def sender_report(self, now: float) -> bytes | None:
        """Return a report by the producer's clock, and the stream's name.

        None before anything was sent, or that clock is known.
        """
        ntp = self.producer.ntp(now)
        if ntp is None or not self.state.packets:
            return None
        timestamp = self.selection.sender_timestamp(ntp / NTP_FRACTION)
        if timestamp is None:
            return None
        self._reports[ntp >> 16 & 0xFFFF_FFFF] = now
        if len(self._reports) > MAX_REPORTS:
            del self._reports[next(iter(self._reports))]
        state = self.state
        packets, octets = state.packets & 0xFFFF_FFFF, state.octets & 0xFFFF_FFFF
        report = rtcp.sender_report(state.ssrc, ntp & 0xFFFF_FFFF_FFFF_FFFF, timestamp, packets, octets)
        return report + self._name

    def report_received(self, block: rtcp.ReportBlock, now: float) -> None:
        """Take what the peer says of the stream."""
        sent_at = self._reports.get(block.last_sender_report)
        last = block.last_sender_report if sent_at is not None else 0
        since = now - sent_at if sent_at is not None else 0.0
        ntp_now = (last << 16) + int(since * NTP_FRACTION)
        self.remote.report(
            ReceptionReport(
                self.ssrc,
                block.fraction_lost,
                block.packets_lost,
                block.highest_sequence,
                block.jitter,
                last,
                block.delay_since_last,
            ),
            ntp_now,
        )

    def statistics(self) -> list[dict[str, object]]:
        """Return the stream's figures."""
        layers = self.current_layers
        return [
            {
                "id": self.id,
                "type": "outbound-rtp",
                "kind": self.kind,
                "consumerId": self.id,
                "producerId": self.producer_id,
                "ssrc": self.ssrc,
                "mimeType": self.rtp_parameters.codecs[0].mime_type,
                "packetsSent": self.state.packets,
                "bytesSent": self.state.octets,
                "retransmittedPacketsSent": self.repair.sent if self.repair is not None else 0,
                "nackCount": self.repair.nacks if self.repair is not None else 0,
                "fractionLost": self.remote.fraction_lost,
                "packetsLost": self.remote.total_lost,
                "jitter": self.remote.jitter,
                "roundTripTime": self.remote.round_trip,
                "spatialLayer": layers.spatial if layers is not None else None,
                "temporalLayer": layers.temporal if layers is not None else None,
            }
        ]


def _source_name(ssrc: int, name: str) -> bytes:
    """Return what says every second whose stream it is; peers choose how long names are."""
    short = name.encode(errors="ignore")[: rtcp.MAX_NAME_SIZE].decode(errors="ignore")
    return rtcp.SourceDescription(((ssrc, short),)).serialize()


def _selection(
    producer: Producer,
    codec: RtpCodecParameters,
    pictures: ConsumerPictures | None,
    on_switch: Callable[[], None],
) -> Selection:
    """Return what chooses and numbers the packets of this kind of producer."""
    clocks = [stream.clock for stream in producer.streams]
    if producer.kind == "audio":
        return AudioSelection(clocks[0])
    if producer.spatial_layers > 1 and len(clocks) == 1:
        return SvcSelection(clocks[0], pictures, on_switch, is_key=producer.scalability.is_key)
    return VideoSelection(clocks, codec.clock_rate, pictures, on_switch)
