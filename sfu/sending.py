"""The sending side of one transport: its consumers, their reports, and what the peer says of them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol

from sfu.consumer import Consumer, Layers
from sfu.errors import CannotConsume, DuplicateStream, TooManyStreams
from sfu.forwarding import ConsumerState
from sfu.header_extensions import MAX_MID_SIZE, ExtensionPlan, extension_plan
from sfu.media_plane import MediaPlane
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
MAX_COMPOUND: Final = 1100
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
    ) -> None:
        self.path = SendingPath()
        """For consumers whose packets are numbered transport-wide."""
        self.plain_path = SendingPath()
        """For the others: their packets must not use up numbers that the peer would miss."""
        self.paths = (self.plain_path, self.path)
        self.consumers: dict[str, Consumer] = {}
        self.is_connected = False
        self._plane = plane
        self._send_rtcp = send_rtcp
        self._listener = listener
        self._max_consumers = max_consumers
        self._by_ssrc: dict[int, Consumer] = {}
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
        encoding = parameters.encodings[0]
        ssrcs = [ssrc for ssrc in (encoding.ssrc, encoding.rtx and encoding.rtx.ssrc) if ssrc]
        if encoding.ssrc is None or any(ssrc in self._by_ssrc for ssrc in ssrcs):
            raise DuplicateStream("the consumer's SSRC is missing or in use")
        mid = (parameters.mid or "").encode()
        mid = mid if len(mid) <= MAX_MID_SIZE else b""
        plan = _plan(producer, parameters, len(mid))
        path = self.path if plan.transport_sequence else self.plain_path
        payload_type = parameters.codecs[0].payload_type
        mid = mid if plan.mid_size else b""
        state = ConsumerState(path, encoding.ssrc, payload_type, lambda number: None, plan, mid)
        consumer = Consumer(
            producer, parameters, state, self, self._plane, paused=paused, preferred=preferred
        )
        self.consumers[consumer.id] = consumer
        for ssrc in ssrcs:
            self._by_ssrc[ssrc] = consumer
        producer.add_consumer(consumer)
        self.reallocate()
        return consumer

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
        self.reallocate()

    def close(self) -> None:
        """Close every consumer."""
        self.is_connected = False
        for consumer in tuple(self.consumers.values()):
            consumer.close()

    def connected(self) -> None:
        """ICE and DTLS are there: begin."""
        self.is_connected = True
        self.reallocate()

    def reallocate(self) -> None:
        """Say anew which layers each consumer gets."""
        for consumer in tuple(self.consumers.values()):
            if not consumer.is_active:
                consumer.set_target(NONE, 0)
                continue
            highest = len(consumer.producer.streams) - 1
            preferred = consumer.preferred_layers
            if preferred is None:
                consumer.set_target(highest, None)
            else:
                consumer.set_target(min(preferred.spatial, highest), preferred.temporal)

    def tell_closed(self, consumer: Consumer) -> None:
        """Its producer was closed."""
        self._listener.on_consumer_closed(consumer)

    def tell_paused(self, consumer: Consumer) -> None:
        """Its producer was paused, or goes on."""
        self._listener.on_consumer_paused(consumer)

    def tell_layers(self, consumer: Consumer) -> None:
        """Other layers are being sent."""
        self._listener.on_consumer_layers(consumer)

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

    def _take_blocks(self, blocks: Iterable[rtcp.ReportBlock], now: float) -> None:
        for block in blocks:
            consumer = self._by_ssrc.get(block.ssrc)
            if consumer is not None and consumer.ssrc == block.ssrc:
                consumer.report_received(block, now)

    def _repair(self, nack: rtcp.Nack, now: float) -> None:
        consumer = self._by_ssrc.get(nack.media)
        if consumer is None or consumer.repair is None or not consumer.is_active:
            return
        state = consumer.state
        for packet in consumer.repair.answer(list(nack.lost), now, consumer.remote.round_trip):
            self._plane.forwarder.send_packet(state.path, state.plan, packet, now)

    def _refresh_picture(self, ssrc: int) -> None:
        consumer = self._by_ssrc.get(ssrc)
        if consumer is not None:
            consumer.request_keyframe()

    def tick(self, now: float) -> None:
        """Report when it is time."""
        if now >= self._report_at and self.consumers and self.is_connected:
            self._report_at = now + REPORT_SECONDS
            self._report(now)

    def _report(self, now: float) -> None:
        """Send sender reports and names of all streams, and answer the peer's reference time."""
        compound = self._delay_report(now)
        for consumer in self.consumers.values():
            report = consumer.sender_report(now) if consumer.is_active else None
            if report is None:
                continue
            name = consumer.rtp_parameters.rtcp.cname or consumer.producer_id
            names = rtcp.SourceDescription(((consumer.ssrc, name[:255]),))
            part = report.serialize() + names.serialize()
            if len(compound) + len(part) > MAX_COMPOUND:
                self._send_rtcp(compound)
                compound = b""
            compound += part
        if compound:
            self._send_rtcp(compound)

    def _delay_report(self, now: float) -> bytes:
        delays = tuple(
            (ssrc, last, int((now - received_at) * 65536) & 0xFFFF_FFFF)
            for ssrc, (last, received_at) in self._receiver_times.items()
        )
        self._receiver_times.clear()
        if not delays:
            return b""
        return (
            rtcp.ReceiverReport(self._ssrc).serialize()
            + rtcp.ExtendedReport(self._ssrc, delays=delays).serialize()
        )


def _plan(producer: Producer, parameters: RtpParameters, mid_size: int) -> ExtensionPlan:
    """Return which extensions the consumer gets: the producer's under its ids, and its own."""
    ids = {extension.uri: extension.id for extension in parameters.header_extensions}
    renumbered = {
        producer.extension_ids[uri]: ids[uri]
        for uri in FORWARDED_EXTENSIONS
        if uri in producer.extension_ids and uri in ids
    }
    has_feedback = any(entry.type == "transport-cc" for entry in parameters.codecs[0].rtcp_feedback)
    return extension_plan(
        renumbered,
        mid=ids.get(MID, 0),
        mid_size=mid_size if MID in ids else 0,
        abs_send_time=ids.get(ABS_SEND_TIME, 0),
        transport_sequence=ids.get(TRANSPORT_SEQUENCE, 0) if has_feedback else 0,
    )
