"""aiortc as publisher and viewer of a router, over loopback and our own descriptions."""

from __future__ import annotations

import asyncio

from aiortc import (
    AudioStreamTrack,
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)

from sfu.consumer import Consumer
from sfu.producer import Producer
from sfu.protocol.parameters import Direction
from sfu.protocol.sdp import Endpoint, SectionAnswer, answer, parse_offer
from sfu.protocol.sdp.negotiation import consumer_parameters, producer_parameters
from sfu.router import Router
from sfu.transport import TransportState, WebRtcTransport


class Listener:
    """A transport's listener that keeps what it is told."""

    def __init__(self) -> None:
        self.states: list[TransportState] = []
        self.closed = 0
        self.closed_consumers: list[Consumer] = []
        self.paused: list[tuple[Consumer, bool]] = []
        self.layers: list[object] = []

    def on_transport_state(self, transport: WebRtcTransport, state: TransportState) -> None:
        self.states.append(state)

    def on_transport_closed(self, transport: WebRtcTransport) -> None:
        self.closed += 1

    def on_consumer_closed(self, consumer: Consumer) -> None:
        self.closed_consumers.append(consumer)

    def on_consumer_paused(self, consumer: Consumer) -> None:
        self.paused.append((consumer, consumer.producer_paused))

    def on_consumer_layers(self, consumer: Consumer) -> None:
        self.layers.append(consumer.current_layers)


def _endpoint(transport: WebRtcTransport) -> Endpoint:
    return Endpoint(
        ice=transport.ice_parameters,
        dtls=transport.dtls_parameters,
        candidates=transport.ice_candidates,
        sctp=transport.sctp_parameters,
    )


class Publisher:
    """Sends aiortc's test tone and picture."""

    def __init__(self, router: Router) -> None:
        self.listener = Listener()
        self.transport = router.create_transport(self.listener)
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.producers: dict[str, Producer] = {}
        self._router = router

    async def publish(self) -> None:
        """Offer one track of audio and one of video, and connect."""
        self.connection.addTransceiver(AudioStreamTrack(), "sendonly")
        self.connection.addTransceiver(VideoStreamTrack(), "sendonly")
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = parse_offer(self.connection.localDescription.sdp)
        sections = []
        for section in offer.sections:
            parameters = producer_parameters(section, self._router.rtp_capabilities)
            assert parameters is not None
            kind = "audio" if section.kind == "audio" else "video"
            self.producers[kind] = self.transport.produce(kind, parameters)
            sections.append(
                SectionAnswer(mid=section.mid, direction=Direction.RECVONLY, parameters=parameters)
            )
        self.transport.connect(offer.dtls)
        text = answer(offer, sections, _endpoint(self.transport), session_id=1)
        await self.connection.setRemoteDescription(RTCSessionDescription(text, "answer"))

    async def close(self) -> None:
        """Leave."""
        await self.connection.close()


class Viewer:
    """Receives and decodes what it is given."""

    def __init__(self, router: Router) -> None:
        self.listener = Listener()
        self.transport = router.create_transport(self.listener)
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.frames = {"audio": 0, "video": 0}
        self.consumers: dict[str, Consumer] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.connection.on("track", self._on_track)

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.create_task(self._count(track)))

    async def _count(self, track: MediaStreamTrack) -> None:
        while True:
            await track.recv()
            self.frames[track.kind] += 1

    async def view(self, producers: dict[str, Producer]) -> None:
        """Offer to receive one of each kind, and connect."""
        for kind in producers:
            self.connection.addTransceiver(kind, "recvonly")
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = parse_offer(self.connection.localDescription.sdp)
        sections = []
        for section in offer.sections:
            producer = producers[section.kind]
            consumption = consumer_parameters(
                section, producer.consumable_parameters, self.transport.free_ssrc()
            )
            assert consumption is not None
            self.consumers[section.kind] = self.transport.consume_negotiated(
                producer.id, consumption.parameters
            )
            sections.append(
                SectionAnswer(
                    mid=section.mid, direction=Direction.SENDONLY, parameters=consumption.parameters
                )
            )
        self.transport.connect(offer.dtls)
        text = answer(offer, sections, _endpoint(self.transport), session_id=2)
        await self.connection.setRemoteDescription(RTCSessionDescription(text, "answer"))

    async def close(self) -> None:
        """Leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connection.close()
