"""The sending side of one transport: its consumers, their reports, and what the peer says of them."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sfu.bandwidth import MAX_BITRATE, Bandwidth
from sfu.consumer import Consumer, Layers
from sfu.errors import CannotConsume, DuplicateStream, TooManyStreams
from sfu.forwarding import ConsumerState
from sfu.header_extensions import MAX_MID_SIZE, ExtensionPlan, extension_plan
from sfu.media_plane import MediaPlane, log
from sfu.protocol import ortc, rtcp
from sfu.protocol.codecs import (
    ABS_CAPTURE_TIME,
    ABS_SEND_TIME,
    AUDIO_LEVEL,
    DEPENDENCY_DESCRIPTOR,
    MID,
    PLAYOUT_DELAY,
    TRANSPORT_SEQUENCE,
    VIDEO_ORIENTATION,
)
from sfu.protocol.parameters import RtpCapabilities, RtpParameters
from sfu.protocol.simulcast import NONE
from sfu.sending_path import SendingPath

if TYPE_CHECKING:
    from sfu.producer import Producer

REPORT_SECONDS: Final = 1.0
REPORT_SPREAD: Final = (0.8, 1.2)
"""So that transports that began together do not report together (RFC 3550 6.2)."""
MAX_COMPOUND: Final = 1100
MAX_NACKED_PER_SECOND: Final = 5000
"""Numbers that are looked up for one peer: more is no loss but a flood."""
FORWARDED_EXTENSIONS: Final = (
    AUDIO_LEVEL,
    VIDEO_ORIENTATION,
    DEPENDENCY_DESCRIPTOR,
    ABS_CAPTURE_TIME,
    PLAYOUT_DELAY,
)


class ConsumerListener(Protocol):
    """Who is told of a transport's consumers."""

    def on_consumer_closed(self, consumer: Consumer) -> None:
        """Its producer was closed."""

    def on_consumer_paused(self, consumer: Consumer) -> None:
        """Its producer was paused or goes on: see `producer_paused`."""

    def on_consumer_layers(self, consumer: Consumer) -> None:
        """Other layers are being sent: see `current_layers`."""


class Sending:
    """What a transport's peer gets; `tick` as often as `deadline` says."""

    def __init__(
        self,
        plane: MediaPlane,
        send_rtcp: Callable[[bytes], None],
        listener: ConsumerListener,
        max_consumers: int,
        wake: Callable[[], None],
    ) -> None:
        """`wake` has `tick` called soon, whatever `deadline` said."""
        self.path = SendingPath()
        """For consumers whose packets are numbered transport-wide."""
        self.plain_path = SendingPath()
        """For the others: their packets must not use up numbers that the peer would miss."""
        self._probe_path = SendingPath()
        self.paths = (self.plain_path, self.path, self._probe_path)
        self.bandwidth: Bandwidth | None = None
        """None as long as no consumer has a choice of layers."""
        self.consumers: dict[str, Consumer] = {}
        self.is_connected = False
        self._plane = plane
        self._send_rtcp = send_rtcp
        self._listener = listener
        self._max_consumers = max_consumers
        self._wake = wake
        self._by_ssrc: dict[int, Consumer] = {}
        self._plans: dict[str, _Plans] = {}
        self._max_bitrate = 0
        self._nacked = (0, 0)
        self._next_mid = 0
        self._report_at = 0.0
        self._receiver_times: dict[int, tuple[int, float]] = {}
        self._ssrc = secrets.randbits(31) | 1

    def consume(
        self,
        producer: Producer,
        capabilities: RtpCapabilities,
        *,
        paused: bool,
        preferred: Layers | None,
        mid: str | None,
    ) -> Consumer:
        """Return a consumer with parameters that the peer's capabilities allow."""
        self._check_room()
        if mid is None:
            mid = str(self._next_mid)
            self._next_mid += 1
        try:
            parameters = ortc.consumer_parameters(
                producer.consumable_parameters, capabilities, self.free_ssrc(), mid=mid
            )
        except ortc.UnsupportedParameters as error:
            raise CannotConsume(str(error)) from error
        return self.add(producer, parameters, paused=paused, preferred=preferred)

    def add(
        self, producer: Producer, parameters: RtpParameters, *, paused: bool, preferred: Layers | None = None
    ) -> Consumer:
        """Return a consumer with these parameters; raises DuplicateStream and TooManyStreams."""
        self._check_room()
        if not parameters.encodings:
            raise CannotConsume("the parameters have no encoding")
        encoding = parameters.encodings[0]
        ssrcs = [ssrc for ssrc in (encoding.ssrc, encoding.rtx and encoding.rtx.ssrc) if ssrc]
        if encoding.ssrc is None or any(ssrc in self._by_ssrc for ssrc in ssrcs):
            raise DuplicateStream("the consumer's SSRC is missing or in use")
        mid = (parameters.mid or "").encode()
        mid = mid if len(mid) <= MAX_MID_SIZE else b""
        plans = _Plans.of(producer, parameters, len(mid))
        payload_type = parameters.codecs[0].payload_type
        mid = mid if plans.plain.mid_size else b""
        state = ConsumerState(
            self.plain_path, encoding.ssrc, payload_type, lambda number: None, plans.plain, mid
        )
        consumer = Consumer(
            producer, parameters, state, self, self._plane, paused=paused, preferred=preferred
        )
        self.consumers[consumer.id] = consumer
        for ssrc in ssrcs:
            self._by_ssrc[ssrc] = consumer
        self._plans[consumer.id] = plans
        producer.add_consumer(consumer)
        self._adapt()
        self.resumed(consumer)
        return consumer

    def _adapt(self) -> None:
        """Measure the path if there is a choice of layers to be made by it; else feedback is a waste."""
        wanted = any(
            consumer.has_layers and self._plans[consumer.id].can_measure
            for consumer in self.consumers.values()
        )
        if wanted and self.bandwidth is None:
            self.bandwidth = Bandwidth(self._plane, self.path, self._probe_path)
            self.bandwidth.maximum = self._max_bitrate or MAX_BITRATE
        elif not wanted:
            self.bandwidth = None
        for consumer in self.consumers.values():
            plans = self._plans[consumer.id]
            is_measured = wanted and plans.measured.transport_sequence > 0
            consumer.state.plan = plans.measured if is_measured else plans.plain
            consumer.state.path = self.path if is_measured else self.plain_path
            is_paced = self.bandwidth is not None and consumer.kind == "video"
            pacer = self.bandwidth.controller.pacer if self.bandwidth is not None and is_paced else None
            if pacer is not consumer.pacer:
                consumer.pacer = pacer
                consumer.producer.refresh()

    def set_max_bitrate(self, bitrate: int) -> None:
        """Send at most so many bits per second where there is a choice of layers; 0: no limit."""
        self._max_bitrate = bitrate
        if self.bandwidth is not None:
            self.bandwidth.maximum = bitrate or MAX_BITRATE
            self.reallocate()

    def _check_room(self) -> None:
        if len(self.consumers) >= self._max_consumers:
            raise TooManyStreams(f"a transport has at most {self._max_consumers} consumers")

    def free_ssrc(self) -> int:
        """Return an SSRC that neither it nor its successor is in use."""
        while True:
            ssrc = secrets.randbelow(0xFFFF_FFF0) + 1
            if ssrc not in self._by_ssrc and ssrc + 1 not in self._by_ssrc:
                return ssrc

    def remove(self, consumer: Consumer) -> None:
        """Forget a consumer, and with it libsrtp's contexts of its streams."""
        if self.consumers.pop(consumer.id, None) is None:
            return
        for ssrc in [ssrc for ssrc, other in self._by_ssrc.items() if other is consumer]:
            del self._by_ssrc[ssrc]
            if self.path.srtp is not None:
                self.path.srtp.forget(ssrc)
        del self._plans[consumer.id]
        self._adapt()
        self.reallocate()

    def close(self) -> None:
        """Close every consumer."""
        self.is_connected = False
        for consumer in tuple(self.consumers.values()):
            consumer.close()

    def connected(self) -> None:
        """ICE and DTLS are there: begin."""
        self.is_connected = True
        for consumer in tuple(self.consumers.values()):
            self.resumed(consumer)

    def reallocate(self) -> None:
        """Say anew which layers each consumer gets; soon, where that takes an allocation."""
        if self.bandwidth is not None:
            self.bandwidth.reallocate()
            self._wake()
            return
        for consumer in tuple(self.consumers.values()):
            _give_preferred(consumer)

    def changed(self, consumer: Consumer) -> None:
        """Stop a consumer, or let it go on, as those of a whole room do at once.

        To allocate for each of them then would hold up all packets: the next allocation is never far.
        """
        if self.bandwidth is None or not consumer.is_active:
            _give_preferred(consumer)
        else:
            self.bandwidth.begin(consumer, consumer.producer.choices.at(self._plane.clock()))

    def resumed(self, consumer: Consumer) -> None:
        """Let a consumer begin whose peer waits for it."""
        self.changed(consumer)
        if self.bandwidth is not None and consumer.is_active and consumer.target == NONE:
            self.reallocate()

    def overflown(self) -> None:
        """Too much waited for the pace and is gone: every picture begins anew."""
        for consumer in tuple(self.consumers.values()):
            if consumer.pacer is not None and consumer.is_active:
                consumer.begin_anew()

    def tell_closed(self, consumer: Consumer) -> None:
        """Its producer was closed."""
        self._tell(self._listener.on_consumer_closed, consumer)

    def tell_paused(self, consumer: Consumer) -> None:
        """Its producer was paused, or goes on."""
        self._tell(self._listener.on_consumer_paused, consumer)

    def tell_layers(self, consumer: Consumer) -> None:
        """Other layers are being sent."""
        self._tell(self._listener.on_consumer_layers, consumer)

    def _tell(self, method: Callable[[Consumer], None], consumer: Consumer) -> None:
        try:
            method(consumer)
        except Exception:
            log.warning("sfu_listener_failed", exc_info=True)

    def receive(self, event: rtcp.Event, now: float) -> None:
        """Take what the peer says of what it gets; what names no consumer is passed over."""
        match event:
            case rtcp.SenderReport() | rtcp.ReceiverReport():
                self._take_blocks(event.blocks, now)
            case rtcp.Nack():
                self._repair(event, now)
            case rtcp.PictureLossIndication():
                self._refresh_picture(event.media)
            case rtcp.FullIntraRequest():
                for ssrc, _ in event.entries:
                    self._refresh_picture(ssrc)
            case rtcp.ExtendedReport():
                if event.receiver_time is not None:
                    self._receiver_times = {event.ssrc: (event.receiver_time >> 16 & 0xFFFF_FFFF, now)}
            case rtcp.TransportFeedback() | rtcp.ReceiverEstimatedMaximumBitrate():
                if self.bandwidth is not None:
                    self.bandwidth.receive(event, now)

    def _take_blocks(self, blocks: Iterable[rtcp.ReportBlock], now: float) -> None:
        for block in blocks:
            consumer = self._by_ssrc.get(block.ssrc)
            if consumer is not None and consumer.ssrc == block.ssrc:
                consumer.report_received(block, now)
                if self.bandwidth is not None and consumer.kind == "video":
                    self.bandwidth.report_loss(consumer.remote.fraction_lost, now)

    def _repair(self, nack: rtcp.Nack, now: float) -> None:
        consumer = self._by_ssrc.get(nack.media)
        if consumer is None or consumer.repair is None or not consumer.is_active:
            return
        second = int(now)
        if second != self._nacked[0]:
            self._nacked = (second, 0)
        self._nacked = (second, self._nacked[1] + len(nack.lost))
        if self._nacked[1] > MAX_NACKED_PER_SECOND:
            return
        state = consumer.state
        for packet in consumer.repair.answer(list(nack.lost), now, consumer.remote.round_trip):
            if consumer.pacer is None or consumer.pacer.admit(len(packet), int(now * 1_000_000)):
                self._plane.forwarder.send_packet(state.path, state.plan, packet, now)
            elif not consumer.pacer.queue((consumer, packet), len(packet), urgent=True):
                self.overflown()

    def _refresh_picture(self, ssrc: int) -> None:
        consumer = self._by_ssrc.get(ssrc)
        if consumer is not None:
            consumer.request_keyframe()

    def tick(self, now: float) -> None:
        """Report when it is time."""
        if now >= self._report_at and self.consumers and self.is_connected:
            self._report_at = now + REPORT_SECONDS * random.uniform(*REPORT_SPREAD)
            self._report(now)
        if self.bandwidth is not None and self.is_connected:
            self.bandwidth.tick(tuple(self.consumers.values()), now)

    def deadline(self, now: float) -> float:
        """Return when `tick` has something to do."""
        if self.bandwidth is not None and self.is_connected:
            return min(self._report_at, self.bandwidth.deadline(now))
        return self._report_at if self.consumers else now + REPORT_SECONDS

    def _report(self, now: float) -> None:
        """Send sender reports and names of all streams, and answer the peer's reference time."""
        compound = self._delay_report(now)
        for consumer in self.consumers.values():
            part = consumer.sender_report(now) if consumer.is_active else None
            if part is None:
                continue
            if len(compound) + len(part) > MAX_COMPOUND:
                self._send_rtcp(compound)
                compound = b""
            compound += part
        if compound:
            self._send_rtcp(compound)

    def _delay_report(self, now: float) -> bytes:
        if not self._receiver_times:
            return b""
        delays = tuple(
            (ssrc, last, int((now - received_at) * 65536) & 0xFFFF_FFFF)
            for ssrc, (last, received_at) in self._receiver_times.items()
        )
        self._receiver_times.clear()
        return (
            rtcp.ReceiverReport(self._ssrc).serialize()
            + rtcp.ExtendedReport(self._ssrc, delays=delays).serialize()
        )


def _give_preferred(consumer: Consumer) -> None:
    """Set the target where bandwidth is no question."""
    if not consumer.is_active:
        consumer.set_target(NONE, 0)
        return
    highest = consumer.producer.spatial_layers - 1
    preferred = consumer.preferred_layers
    if preferred is None:
        consumer.set_target(highest, None)
    else:
        consumer.set_target(min(preferred.spatial, highest), preferred.temporal)


class _Plans(NamedTuple):
    """The extensions of a consumer's packets, without and with a transport-wide number."""

    plain: ExtensionPlan
    measured: ExtensionPlan
    can_measure: bool
    """Whether the peer gives any feedback on what it can receive."""

    @classmethod
    def of(cls, producer: Producer, parameters: RtpParameters, mid_size: int) -> _Plans:
        """Return which extensions the consumer gets: the producer's under its ids, and its own."""
        ids = {extension.uri: extension.id for extension in parameters.header_extensions}
        renumbered = {
            producer.extension_ids[uri]: ids[uri]
            for uri in FORWARDED_EXTENSIONS
            if uri in producer.extension_ids and uri in ids
        }
        feedback = {entry.type for entry in parameters.codecs[0].rtcp_feedback}
        sequence_id = ids.get(TRANSPORT_SEQUENCE, 0) if "transport-cc" in feedback else 0
        plain, measured = (
            extension_plan(
                renumbered,
                mid=ids.get(MID, 0),
                mid_size=mid_size if MID in ids else 0,
                abs_send_time=ids.get(ABS_SEND_TIME, 0),
                transport_sequence=identifier,
            )
            for identifier in (0, sequence_id)
        )
        return cls(plain, measured, bool(sequence_id) or "goog-remb" in feedback)
