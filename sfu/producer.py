"""A source of one kind of media in a router, and those that this process makes itself (bridges)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Protocol

from sfu.forwarding import ConsumerState
from sfu.header_extensions import Batch
from sfu.layer_choices import LayerChoices
from sfu.media_plane import MediaPlane
from sfu.pacing import Piece, pieces
from sfu.producer_stream import ProducerStream
from sfu.protocol import red, rtp
from sfu.protocol.codec_matching import ScalabilityMode, scalability_mode
from sfu.protocol.keyframe_requests import KeyframeRequests
from sfu.protocol.parameters import Kind, RtpParameters
from sfu.protocol.reception import NTP_FRACTION, SenderClock
from sfu.protocol.simulcast import NONE
from sfu.quick_start import QuickStart
from sfu.redundancy import Redundancy
from sfu.svc_selection import by_last_layer, with_markers
from sfu.taps import PacketSink, Tap, Taps, clock_report

if TYPE_CHECKING:
    from sfu.consumer import Consumer

ProducerType = Literal["simple", "simulcast", "svc"]
Part = tuple[Batch, list[ConsumerState]]

RENEW_SECONDS: Final = 5.0
"""Between two times that a consumer is sent the last keyframe: on too narrow a path that makes it worse."""
SCALABLE_CODECS: Final = frozenset(("video/vp9", "video/av1"))


class ProducerOwner(Protocol):
    """The router."""

    def producer_closed(self, producer: Producer) -> None:
        """Forget a producer."""

    def producer_paused(self, producer: Producer) -> None:
        """A producer paused or goes on."""


class Producer:
    """Shared by what comes from a peer and from this process; streams are simulcast's, lowest first."""

    def __init__(
        self,
        kind: Kind,
        rtp_parameters: RtpParameters,
        consumable_parameters: RtpParameters,
        plane: MediaPlane,
        owner: ProducerOwner,
    ) -> None:
        self.id = str(uuid.uuid4())
        self.kind: Kind = kind
        self.rtp_parameters = rtp_parameters
        self.consumable_parameters = consumable_parameters
        self.paused = False
        self.is_program = False
        self.app_data: Mapping[str, object] = {}
        self.is_closed = False
        self.streams: list[ProducerStream] = []
        self.consumers: dict[str, Consumer] = {}
        self.extension_ids = {extension.uri: extension.id for extension in rtp_parameters.header_extensions}
        """Header extensions of the packets that come, by URI."""
        self.scalability = _scalability(rtp_parameters)
        self.type: ProducerType = _type_of(rtp_parameters, self.scalability)
        self.spatial_layers = max(len(rtp_parameters.encodings), self.scalability.spatial_layers)
        """Streams of simulcast, or layers of the one stream."""
        carried = red.carried_payload_type(rtp_parameters.codecs[0])
        self._redundancy = Redundancy(carried) if carried is not None else None
        self._is_uniform = self.scalability.spatial_layers == 1 and carried is None
        """Whether all consumers get the same of a batch."""
        self.choices = LayerChoices(self.streams, self.spatial_layers)
        self.keyframe_requests = KeyframeRequests()
        self._plane = plane
        self._owner = owner
        self._taps = Taps(self.streams, plane)
        self._switched: list[Consumer] = []
        self._report: tuple[int, float] | None = None
        self._is_stale = False

    @property
    def taps(self) -> Sequence[Tap]:
        """Those that get plain packets."""
        return tuple(self._taps.taps)

    def tap(self, sink: PacketSink) -> Tap:
        """Give `sink` every packet from now on."""
        tap = Tap(sink, self.request_keyframe, self._taps.remove)
        self._taps.add(tap)
        for stream in self.streams:
            if stream.clock.known and (len(self.streams) == 1 or stream.index == self._taps.current):
                sink.on_sender_report(*clock_report(stream))
        return tap

    def pause(self) -> None:
        """Forward nothing until `resume`."""
        self._set_paused(True)

    def resume(self) -> None:
        """Go on, with a keyframe."""
        self._set_paused(False)

    def _set_paused(self, paused: bool) -> None:
        if self.paused == paused or self.is_closed:
            return
        self.paused = paused
        for consumer in tuple(self.consumers.values()):
            consumer.producer_changed()
        self.refresh()
        self._owner.producer_paused(self)

    def close(self) -> None:
        """End it, its consumers and taps; does nothing a second time."""
        if self.is_closed:
            return
        self.is_closed = True
        self._end()
        for consumer in tuple(self.consumers.values()):
            consumer.producer_closed()
        self.consumers.clear()
        self._taps.close()
        self._owner.producer_closed(self)

    def _end(self) -> None:
        """Let go of where the packets come from."""

    def request_keyframe(self, stream: int | None = None) -> None:
        """Ask for a keyframe of a stream, at most once a second; by default of the one that taps get."""
        if self.kind != "video" or self.is_closed:
            return
        index = self._main_stream() if stream is None else stream
        if self.keyframe_requests.request(index, self._plane.clock()):
            self._plane.counters.keyframe_requests_sent += 1
            self._ask_keyframe(index)

    def _main_stream(self) -> int:
        if self._taps.current >= 0:
            return self._taps.current
        now = self._plane.clock()
        return max((stream.index for stream in self.streams if stream.is_active(now)), default=0)

    def _ask_keyframe(self, stream: int) -> None:
        """Send the request to where the packets come from."""
        raise NotImplementedError

    def start(self, consumer: Consumer) -> None:
        """Let `consumer`, which waits for a keyframe, begin as soon as can be."""
        self.request_keyframe(consumer.selection.wanted_keyframe)

    def renew(self, consumer: Consumer) -> bool:
        """Give `consumer`, which lost its picture, another; False if that takes a new keyframe."""
        return False

    def stop(self, consumer: Consumer) -> None:
        """The consumer wants nothing for now."""

    def ask_due_keyframes(self, now: float) -> None:
        """Repeat what was put off or not answered."""
        for index in self.keyframe_requests.due(now):
            self._plane.counters.keyframe_requests_sent += 1
            self._ask_keyframe(index)

    def add_consumer(self, consumer: Consumer) -> None:
        """Forward to `consumer`, when it says what it wants."""
        self.consumers[consumer.id] = consumer

    def remove_consumer(self, consumer: Consumer) -> None:
        """Forget `consumer`."""
        if self.consumers.pop(consumer.id, None) is not None:
            self.refresh()

    def refresh(self) -> None:
        """Look anew which consumers want which stream, once before the next packets: many change together."""
        self._is_stale = True

    def _look_who_wants(self) -> None:
        self._is_stale = False
        active = [consumer for consumer in self.consumers.values() if self._gets_packets(consumer)]
        for stream in self.streams:
            wanting = [consumer for consumer in active if consumer.selection.wants(stream.index)]
            stream.consumers = [consumer.state for consumer in wanting if consumer.pacer is None]
            stream.paced = [consumer for consumer in wanting if consumer.pacer is not None]

    def _gets_packets(self, consumer: Consumer) -> bool:
        return consumer.is_active

    def note_switch(self, consumer: Consumer) -> None:
        """Let `consumer` be called when the batch has been sent."""
        self._switched.append(consumer)

    def forward(self, stream: ProducerStream, batch: Batch) -> None:
        """Send a batch to consumers and taps."""
        now = self._plane.clock()
        if self._is_stale:
            self._look_who_wants()
        if self._taps.taps:
            plain = batch if self._redundancy is None else self._redundancy.plain(batch)
            self._taps.deliver(stream, plain, now)
        states = stream.consumers
        if stream.paced:
            states = [*states, *self._admitted(stream, batch, now)]
        if states:
            self.forward_to(stream, batch, states)

    def _admitted(self, stream: ProducerStream, batch: Batch, now: float) -> list[ConsumerState]:
        """Return who may have the batch now; the others have to wait for its pieces."""
        size, at = sum(map(len, batch.packets)), int(now * 1_000_000)
        admitted: list[ConsumerState] = []
        waiting: list[Piece] = []
        for consumer in stream.paced:
            if consumer.pacer is not None and consumer.pacer.admit(size, at):
                admitted.append(consumer.state)
            else:
                waiting = waiting or list(pieces(stream, batch))
                self._plane.guard(partial(consumer.queue, waiting))
        return admitted

    def forward_to(self, stream: ProducerStream, batch: Batch, states: Sequence[ConsumerState]) -> None:
        """Send packets to these consumers."""
        now = self._plane.clock()
        forward, counters = self._plane.forwarder.forward, self._plane.counters
        if self._is_uniform:
            counters.packets_forwarded += forward(batch, states, now)
        else:
            for part, group in self._parts(batch, states):
                counters.packets_forwarded += forward(part, group, now)
        if self._switched:
            switched, self._switched = self._switched, []
            for consumer in switched:
                self._plane.guard(partial(consumer.after_switch, stream, now))
            self.refresh()

    def _parts(self, batch: Batch, states: Sequence[ConsumerState]) -> Iterable[Part]:
        if self._redundancy is not None:
            return self._redundancy.parts(batch, states)
        selections = {id(consumer.state): consumer.selection for consumer in self.consumers.values()}
        layers = by_last_layer(batch, states, selections)
        return [(with_markers(batch, spatial), group) for spatial, group in layers.items()]

    def note_report(self, stream: ProducerStream, ntp: int, timestamp: int, now: float) -> None:
        """Take a sender report of a stream, which its clock has already."""
        self._report = (ntp, now)
        self._taps.report(stream, ntp, timestamp)

    def ntp(self, now: float) -> int | None:
        """Return the NTP time (32.32 fixed point) at `now` by the producer's clock; None while unknown."""
        if self._report is None:
            return None
        ntp, reported_at = self._report
        return ntp + int((now - reported_at) * NTP_FRACTION)

    def statistics(self) -> list[dict[str, object]]:
        """Return one entry per stream."""
        now = self._plane.clock()
        return [self._stream_statistics(stream, now) for stream in self.streams]

    def _stream_statistics(self, stream: ProducerStream, now: float) -> dict[str, object]:
        return {
            "id": f"{self.id}-{stream.index}",
            "type": "inbound-rtp",
            "kind": self.kind,
            "producerId": self.id,
            "mimeType": stream.codec.mime_type,
            "packetsReceived": stream.rate.packets,
            "bytesReceived": stream.rate.total,
            "bitrate": stream.rate.bitrate(now),
            "keyFramesReceived": stream.keyframes,
            "active": stream.is_active(now),
        }


def _scalability(parameters: RtpParameters) -> ScalabilityMode:
    """Return the layers within one stream; codecs whose layers cannot be told apart have one."""
    is_scalable = parameters.codecs[0].mime_type.lower() in SCALABLE_CODECS
    if not is_scalable or len(parameters.encodings) != 1:
        return scalability_mode(None)
    return scalability_mode(parameters.encodings[0].scalability_mode)


def _type_of(parameters: RtpParameters, scalability: ScalabilityMode) -> ProducerType:
    if len(parameters.encodings) > 1:
        return "simulcast"
    return "svc" if scalability.spatial_layers * scalability.temporal_layers > 1 else "simple"


class LocalProducerListener(Protocol):
    """Who feeds a local producer."""

    def on_keyframe_requested(self) -> None:
        """A consumer needs a keyframe; called at most once a second."""

    def on_consumers(self, count: int) -> None:
        """There are so many consumers now."""


class LocalProducer(Producer):
    """Packets that this process makes; under `ssrc` and `payload_type`, in one stream."""

    def __init__(
        self,
        kind: Kind,
        consumable_parameters: RtpParameters,
        plane: MediaPlane,
        owner: ProducerOwner,
        listener: LocalProducerListener,
    ) -> None:
        super().__init__(kind, consumable_parameters, consumable_parameters, plane, owner)
        codec = consumable_parameters.codecs[0]
        # What is made here carries no header extensions.
        self.extension_ids = {}
        self.payload_type = codec.payload_type
        self.ssrc = consumable_parameters.encodings[0].ssrc or 0
        self._listener = listener
        self._clock = SenderClock(codec.clock_rate)
        self.streams.append(ProducerStream(0, codec, self._clock, 0, self, plane))
        self._quick = QuickStart(self.streams[0], plane, self.refresh)

    def send(self, packets: Sequence[bytes], *, received_at: float) -> None:
        """Forward whole RTP packets of one frame; raises MalformedPacket for what is none."""
        if self.paused or self.is_closed:
            return
        stream = self.streams[0]
        for packet in packets:
            header = rtp.parse(packet)
            places = rtp.extensions(packet, header)
            detail = stream.describe(packet, header, places, received_at)
            if detail is not None and detail.keyframe:
                self.keyframe_requests.received(0)
            stream.push(packet, header, places, detail, received_at)
            if detail is not None:
                self._quick.sent(detail.source, header.timestamp, keyframe=detail.keyframe)
        stream.flush_now()

    def sender_report(self, ntp: int, rtp_timestamp: int) -> None:
        """Say where the timestamps are on a wall clock that all producers of a source share."""
        self._clock.update(ntp, rtp_timestamp)
        self.note_report(self.streams[0], ntp, rtp_timestamp, self._plane.clock())

    def add_consumer(self, consumer: Consumer) -> None:
        """Forward to `consumer`, and tell how many there are."""
        super().add_consumer(consumer)
        self._listener.on_consumers(len(self.consumers))

    def remove_consumer(self, consumer: Consumer) -> None:
        """Forget `consumer`, and tell how many are left."""
        before = len(self.consumers)
        self._quick.forget(consumer)
        super().remove_consumer(consumer)
        if len(self.consumers) != before:
            self._listener.on_consumers(len(self.consumers))

    def start(self, consumer: Consumer) -> None:
        """Begin at the last keyframe if what came since is still there."""
        if self._quick.begin(consumer):
            consumer.began_at = self._plane.clock()
            self.refresh()
        else:
            super().start(consumer)

    def renew(self, consumer: Consumer) -> bool:
        """Let `consumer` begin at the last keyframe again, now and then: the source can make no other."""
        if consumer.selection.current == NONE or not self._quick.is_short:
            return consumer.id in self._quick.waiting
        if self._plane.clock() - consumer.began_at >= RENEW_SECONDS:
            consumer.begin_anew()
        return True

    def stop(self, consumer: Consumer) -> None:
        """Begin no more."""
        self._quick.forget(consumer)

    def _gets_packets(self, consumer: Consumer) -> bool:
        return consumer.is_active and consumer.id not in self._quick.waiting

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        if self.keyframe_requests.deadline <= now:
            self.ask_due_keyframes(now)
        if self._quick.waiting:
            self._quick.tick(now)

    def _ask_keyframe(self, stream: int) -> None:
        self._listener.on_keyframe_requested()
