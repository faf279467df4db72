"""ICE, DTLS and SRTP of one peer, with what it sends and what it gets."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from sfu.consumer import Consumer, Layers
from sfu.data_streams import DataConsumer, DataProducer, DataSide
from sfu.errors import NoDataChannels, TransportClosed
from sfu.ingress_limit import IngressLimit
from sfu.media_plane import log
from sfu.peer_link import PeerLink
from sfu.peer_link import TransportState as TransportState
from sfu.protocol import ortc, red, rtcp
from sfu.protocol.codec_matching import is_rtx
from sfu.protocol.errors import ProtocolError
from sfu.protocol.ice_lite import Address, IceCredentials, IceEvent, IceLiteAgent
from sfu.protocol.parameters import (
    DtlsFingerprint,
    DtlsParameters,
    IceCandidate,
    IceParameters,
    Kind,
    RtpCapabilities,
    RtpEncodingParameters,
    RtpParameters,
    SctpParameters,
    SctpStreamParameters,
)
from sfu.received_producer import ReceivedProducer
from sfu.receiving import Receiving
from sfu.rtcp_limit import RtcpLimit
from sfu.sending import Sending
from sfu.sending_path import SendingPath
from sfu.srtp import SrtpSession
from sfu.transport_ports import TransportHost
from sfu.transport_ports import TransportLimits as TransportLimits
from sfu.transport_ports import TransportListener as TransportListener
from sfu.transport_statistics import transport_statistics

if TYPE_CHECKING:
    from sfu.producer import Producer
    from sfu.router import Router

RECEIVING_TICK: Final = 0.01
SENDING_TICK: Final = 0.5


class WebRtcTransport:
    """Endpoint of the mux, listener of its DTLS; made by `Router.create_transport`."""

    def __init__(
        self, host: TransportHost, router: Router, listener: TransportListener, *, enable_sctp: bool = False
    ) -> None:
        self.id = str(uuid.uuid4())
        self.state = TransportState.NEW
        self.app_data: Mapping[str, object] = {}
        self.deadline = 0.0
        """When `tick` is to be called next."""
        self.received_packets = 0
        self._host = host
        self._router = router
        self._listener = listener
        self._plane = host.plane
        limits = host.limits
        self._sending = Sending(self._plane, self._send_rtcp, listener, limits.consumers, self._wake)
        self._receiving = Receiving(self._plane, self._send_rtcp, router.audio, limits.producers)
        self._link = PeerLink(host, self, self._sending.paths)
        self._data: DataSide | None = None
        if enable_sctp:
            self._data = DataSide(self._link.dtls, router.data_producers)
        self._ingress = IngressLimit(limits.ingress_packets, limits.ingress_bitrate)
        self._rtcp = RtcpLimit()

    @property
    def ice(self) -> IceLiteAgent:
        """What the mux finds it by."""
        return self._link.ice

    @property
    def ice_parameters(self) -> IceParameters:
        """The credentials for the peer's checks: those of the last restart."""
        return self._link.ice_parameters

    @property
    def ice_candidates(self) -> tuple[IceCandidate, ...]:
        """Where the peer reaches the server."""
        return self._host.candidates

    @property
    def dtls_parameters(self) -> DtlsParameters:
        """Our certificate's fingerprints; our role is `auto` until `connect`."""
        fingerprints = tuple(
            DtlsFingerprint(algorithm=entry.algorithm, value=entry.value)  # type: ignore[arg-type]
            for entry in self._host.certificate.fingerprints
        )
        return DtlsParameters(fingerprints=fingerprints, role=self._link.role)  # type: ignore[arg-type]

    @property
    def sctp_parameters(self) -> SctpParameters | None:
        """Our end of the association, None without data channels."""
        return None if self._data is None else self._data.parameters

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return self.state is TransportState.CLOSED

    @property
    def paths(self) -> tuple[SendingPath, ...]:
        """How datagrams leave, for their counters."""
        return self._sending.paths

    @property
    def producers(self) -> tuple[Producer, ...]:
        """What the peer sends."""
        return self._receiving.producers

    @property
    def consumers(self) -> tuple[Consumer, ...]:
        """What the peer gets."""
        return tuple(self._sending.consumers.values())

    def connect(self, dtls: DtlsParameters) -> None:
        """Expect the peer with these fingerprints; its role `auto` leaves the first hello to it."""
        self._check_open()
        self._link.connect(dtls)

    def restart_ice(self) -> IceParameters:
        """Return new credentials; the old ones hold until the peer uses the new ones."""
        self._check_open()
        self._host.restart_ice(self, IceCredentials.generate())
        return self.ice_parameters

    def produce(
        self,
        kind: Kind,
        rtp_parameters: RtpParameters,
        *,
        paused: bool = False,
        app_data: Mapping[str, object] | None = None,
        is_program: bool = False,
    ) -> Producer:
        """Take media from the peer.

        Raises ortc.InvalidParameters, ortc.UnsupportedParameters, DuplicateStream, TooManyStreams.
        """
        self._check_open()
        rtp_parameters = _reduced(kind, rtp_parameters)
        capabilities = self._router.rtp_capabilities
        mapping = ortc.producer_mapping(rtp_parameters, capabilities, self._router.next_ssrc())
        consumable = ortc.consumable_parameters(kind, rtp_parameters, capabilities, mapping)
        producer = ReceivedProducer(
            kind, rtp_parameters, consumable, self._plane, self._router, self._receiving
        )
        producer.paused = paused
        producer.app_data = app_data or {}
        producer.is_program = is_program
        self._receiving.add(producer)
        self._wake()
        self._router.add_producer(producer)
        return producer

    def consume(
        self,
        producer_id: str,
        capabilities: RtpCapabilities,
        *,
        paused: bool = True,
        preferred_layers: Layers | None = None,
        mid: str | None = None,
    ) -> Consumer:
        """Send a producer to the peer; raises NoSuchProducer, CannotConsume, TooManyStreams."""
        self._check_open()
        producer = self._router.producer(producer_id)
        self._wake()
        return self._sending.consume(
            producer, capabilities, paused=paused, preferred=preferred_layers, mid=mid
        )

    def consume_negotiated(
        self, producer_id: str, parameters: RtpParameters, *, paused: bool = False
    ) -> Consumer:
        """Send a producer with parameters that an answer says; raises NoSuchProducer, DuplicateStream."""
        self._check_open()
        producer = self._router.producer(producer_id)
        self._wake()
        return self._sending.add(producer, parameters, paused=paused)

    def produce_data(self, parameters: SctpStreamParameters, label: str, protocol: str) -> DataProducer:
        """Take messages from the peer.

        Raises NoDataChannels, DuplicateStream, TooManyStreams, ortc.InvalidParameters.
        """
        return self._data_side().produce(parameters, label, protocol)

    def consume_data(self, data_producer_id: str) -> DataConsumer:
        """Send the peer messages; raises NoDataChannels, NoSuchProducer, TooManyStreams."""
        return self._data_side().consume(data_producer_id)

    def _data_side(self) -> DataSide:
        self._check_open()
        if self._data is None:
            raise NoDataChannels("the transport was made without data channels")
        return self._data

    def free_ssrc(self) -> int:
        """Return an SSRC for `consume_negotiated`, its successor being free for RTX."""
        return self._sending.free_ssrc()

    def set_max_incoming_bitrate(self, bitrate: int) -> None:
        """Ask the peer to send at most so many bits per second; 0 takes the limit away."""
        self._receiving.set_max_bitrate(bitrate)

    def set_max_outgoing_bitrate(self, bitrate: int) -> None:
        """Choose layers that take at most so many bits per second; 0 takes the limit away."""
        self._sending.set_max_bitrate(bitrate)

    def close(self) -> None:
        """End all of it; does nothing a second time."""
        self._close(TransportState.CLOSED)

    def _close(self, state: TransportState) -> None:
        if self.is_closed:
            return
        if state is not TransportState.CLOSED:
            self._become(state)
        self.state = TransportState.CLOSED
        self._sending.close()
        self._receiving.close()
        if self._data is not None:
            self._data.close()
        self._link.close()
        self._host.transport_closed(self)
        self._router.remove_transport(self)
        self._tell(self._listener.on_transport_state, self, TransportState.CLOSED)
        self._tell(self._listener.on_transport_closed, self)

    def _check_open(self) -> None:
        if self.is_closed:
            raise TransportClosed("the transport is closed")

    def _become(self, state: TransportState) -> None:
        if state is not self.state and not self.is_closed:
            self.state = state
            self._tell(self._listener.on_transport_state, self, state)

    def _tell(self, method: Any, *arguments: object) -> None:
        try:
            method(*arguments)
        except Exception:
            log.warning("sfu_listener_failed", exc_info=True)

    def _wake(self) -> None:
        self.deadline = 0.0

    # What the mux calls.

    def receive_dtls(self, data: bytes, address: Address) -> None:
        """Take a DTLS record."""
        if self._may_receive(len(data), self._plane.clock()):
            self._link.dtls.receive(data)

    def receive_rtp(self, data: bytes, address: Address) -> None:
        """Take an SRTP packet."""
        srtp, counters = self._link.srtp, self._plane.counters
        if srtp is None:
            counters.received_early += 1
            return
        now = self._plane.clock()
        if not self._may_receive(len(data), now):
            return
        try:
            packet = srtp.unprotect(data)
            known = self._receiving.receive(packet, len(data), now)
        except ProtocolError:
            known = False
        if known:
            self.received_packets += 1
            counters.packets_received += 1
            counters.bytes_received += len(data)
        else:
            counters.received_malformed += 1

    def _may_receive(self, size: int, now: float) -> bool:
        """Whether the peer sends no more than it may; what is too much is not worth decrypting."""
        if self._ingress.admits(size, now):
            return True
        self._plane.counters.received_limited += 1
        if self._ingress.dropped == 1:
            log.warning("sfu_peer_floods", transport_id=self.id, room_id=self._router.room_id)
        return False

    def receive_rtcp(self, data: bytes, address: Address) -> None:
        """Take an SRTCP packet."""
        srtp, counters = self._link.srtp, self._plane.counters
        if srtp is None:
            counters.received_early += 1
            return
        now = self._plane.clock()
        dropped = self._rtcp.dropped
        try:
            if self._rtcp.admits(len(self._sending.consumers), now):
                is_measured = self._sending.bandwidth is not None
                for event in self._rtcp.read(srtp.unprotect_rtcp(data), is_measured=is_measured):
                    self._take(event, now)
        except ProtocolError:
            counters.rtcp_malformed += 1
        counters.rtcp_limited += self._rtcp.dropped - dropped

    def _take(self, event: rtcp.Event, now: float) -> None:
        if isinstance(event, rtcp.SenderReport):
            self._receiving.sender_report(event, now)
        elif isinstance(event, rtcp.ExtendedReport):
            self._receiving.extended_report(event, now)
        self._sending.receive(event, now)

    def on_ice_event(self, event: IceEvent) -> None:
        """Take what became of the peer's addresses."""
        self._link.on_ice_event(event)

    # What the link calls.

    def link_changed(self, state: TransportState) -> None:
        """Take another state."""
        self._become(state)

    def link_ended(self, state: TransportState) -> None:
        """Take the end."""
        if state is TransportState.FAILED:
            self._plane.counters.transports_failed += 1
        self._close(state)

    def link_secured(self, srtp: SrtpSession) -> None:
        """Begin to send."""
        self._sending.connected()
        if self._data is not None:
            self._data.connected()
        self._wake()

    def link_data(self, data: bytes) -> None:
        """Take an SCTP packet."""
        if self._data is not None:
            self._data.receive(data)

    def _send_rtcp(self, compound: bytes) -> None:
        self._link.send_rtcp(compound)

    @property
    def discarded_packets(self) -> int:
        """How many came beyond what the peer may send."""
        return self._ingress.dropped

    def tick(self, now: float) -> None:
        """Do what time asks for, and set `deadline`."""
        self._receiving.tick(now)
        self._sending.tick(now)
        latest = now + (RECEIVING_TICK if self._receiving.producers else SENDING_TICK)
        self.deadline = min(latest, self._sending.deadline(now))

    def statistics(self) -> list[dict[str, object]]:
        """Return figures of the transport, its producers and consumers, in the manner of webrtc-stats."""
        return transport_statistics(self, self._link, self._receiving, self._sending, self._plane.clock())


def _reduced(kind: Kind, parameters: RtpParameters) -> RtpParameters:
    """Return the parameters with the first codec, its RTX or what it carries, and at least one encoding.

    A consumer is told one codec, so a producer must not change it.
    """
    ortc.check(parameters)
    codec = next((entry for entry in parameters.codecs if not is_rtx(entry)), None)
    if codec is None or codec.kind != kind:
        raise ortc.InvalidParameters(f"no codec of {kind}")
    carried = red.carried_payload_type(codec)
    others = [
        entry
        for entry in parameters.codecs
        if entry.payload_type == carried
        or (is_rtx(entry) and entry.parameters.get("apt") == codec.payload_type)
    ]
    encodings = parameters.encodings or (RtpEncodingParameters(),)
    return replace(parameters, codecs=(codec, *others[:1]), encodings=encodings)
