"""A server and its peers without sockets, on a clock that the test moves: real ICE, DTLS and SRTP between."""

from __future__ import annotations

import asyncio
import heapq
import random
import struct
from collections.abc import Callable
from typing import Any

from sfu.dtls import DtlsCertificate, DtlsRole, DtlsState, DtlsTransport, Fingerprint
from sfu.protocol import rtcp, rtp
from sfu.protocol.ice_lite import Address, IceCredentials
from sfu.protocol.parameters import (
    DtlsFingerprint,
    DtlsParameters,
    RtcpFeedback,
    RtcpParameters,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpHeaderExtensionParameters,
    RtpParameters,
    RtxParameters,
)
from sfu.router import Router
from sfu.srtp import SrtpSession, is_rtcp
from sfu.transport import WebRtcTransport
from sfu.webrtc_server import WebRtcOptions, WebRtcServer
from tests.sfu.aiortc_peers import Listener
from tests.sfu.checks import check

CERTIFICATE = DtlsCertificate.generate()
STEP = 0.005


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Link:
    """One direction of a path: what it loses, and how long the rest takes."""

    def __init__(self) -> None:
        self.loss = 0.0
        self.delay = 0.0
        self.bitrate = 0
        """Bits per second; 0 is no limit."""
        self.max_queue = 0.3
        """Seconds of queue before packets are dropped."""
        self.lost = 0
        self._free_at = 0.0
        self._random = random.Random(1)

    def arrival(self, size: int, now: float) -> float | None:
        """Return when a datagram arrives, None if it does not."""
        if self.loss and self._random.random() < self.loss:
            self.lost += 1
            return None
        if not self.bitrate:
            return now + self.delay
        starts = max(now, self._free_at)
        if starts - now > self.max_queue:
            self.lost += 1
            return None
        self._free_at = starts + 8 * size / self.bitrate
        return self._free_at + self.delay


class LinkedServer(WebRtcServer):
    """Sends into the world instead of to sockets."""

    def __init__(self, world: World, options: WebRtcOptions | None = None) -> None:
        super().__init__(("192.0.2.9",), options, world.clock)
        self._world = world

    def send(self, address: Address, data: bytes) -> None:
        self._world.to_peer(bytes(data), address)

    def socket_to(self, host: str) -> tuple[Any, bool]:
        return self, False

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:
        """Act as the UDP socket."""
        self._world.to_peer(bytes(data), Address("udp", *address))
        return len(data)


class World:
    """Time, the server, and who is where."""

    def __init__(self, options: WebRtcOptions | None = None) -> None:
        self.clock = Clock()
        self.server = LinkedServer(self, options)
        self.router: Router = self.server.create_router("room")
        self.peers: dict[Address, Peer] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._port = 40_000
        self._mux_ticked = 0.0

    def peer(self, host: str = "192.0.2.1", transport: WebRtcTransport | None = None) -> Peer:
        """Return a peer with a transport, by default one of its own, not connected."""
        return Peer(self, self.next_address(host), transport=transport)

    def next_address(self, host: str = "192.0.2.1") -> Address:
        """Return an address that nobody has."""
        self._port += 1
        return Address("udp", host, self._port)

    async def connected(self, host: str = "192.0.2.1", transport: WebRtcTransport | None = None) -> Peer:
        """Return a peer that is connected."""
        made = self.peer(host, transport)
        await made.connect()
        return made

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        self._count += 1
        heapq.heappush(self._events, (time, self._count, action))

    def to_peer(self, data: bytes, address: Address) -> None:
        """Carry a datagram from the server."""
        peer = self.peers.get(address)
        arrival = peer.down.arrival(len(data), self.clock.now) if peer is not None else None
        if peer is not None and arrival is not None:
            self._carry(arrival, lambda: peer.receive(data))

    def to_server(self, data: bytes, peer: Peer) -> None:
        """Carry a datagram to the server."""
        arrival = peer.up.arrival(len(data), self.clock.now)
        if arrival is not None:
            self._carry(arrival, lambda: self.deliver(data, peer.address))

    def _carry(self, arrival: float, action: Callable[[], None]) -> None:
        if arrival <= self.clock.now:
            action()
        else:
            self.at(arrival, action)

    def deliver(self, data: bytes, address: Address) -> None:
        """Let the server receive a datagram."""
        for answer, destination in self.server._mux.receive(data, address, self.clock.now):
            self.server.send(destination, answer)

    def run(self, seconds: float, each: Callable[[float], None] | None = None) -> None:
        """Let time pass; `each` is called every 5 ms with the time."""
        end = self.clock.now + seconds
        while self.clock.now < end - 1e-9:
            self.clock.now = min(end, self.clock.now + STEP)
            now = self.clock.now
            while self._events and self._events[0][0] <= now:
                heapq.heappop(self._events)[2]()
            if each is not None:
                each(now)
            self.server.plane.flush()
            self.server.tick(now)
            if now - self._mux_ticked >= 1:
                self._mux_ticked = now
                self.server._mux.tick(now)


class Peer:
    """A full agent, client of DTLS, that sends and gets what the test wants."""

    def __init__(
        self,
        world: World,
        address: Address,
        *,
        enable_sctp: bool = False,
        transport: WebRtcTransport | None = None,
    ) -> None:
        self.world = world
        self.address = address
        self.listener = Listener()
        self.transport: WebRtcTransport = transport or world.router.create_transport(
            self.listener, enable_sctp=enable_sctp
        )
        self.dtls = DtlsTransport(CERTIFICATE, DtlsRole.CLIENT, self.send, self)
        self.up, self.down = Link(), Link()
        self.packets: list[bytes] = []
        """Plain RTP, as it came."""
        self.arrivals: list[float] = []
        self.events: list[rtcp.Event] = []
        self.on_data: Callable[[bytes], None] | None = None
        self.on_packet: Callable[[bytes, rtp.RtpHeader], None] | None = None
        world.peers[address] = self

    def dtls_parameters(self) -> DtlsParameters:
        fingerprint = CERTIFICATE.fingerprints[0]
        return DtlsParameters(
            fingerprints=(DtlsFingerprint(algorithm="sha-256", value=fingerprint.value),), role="client"
        )

    def check(self, nominate: bool = True) -> None:
        """Send one check with the newest credentials."""
        parameters = self.transport.ice_parameters
        credentials = IceCredentials(parameters.username_fragment, parameters.password)
        self.world.to_server(check(credentials, nominate=nominate), self)

    def move(self, port: int) -> None:
        """Be at another address from now on."""
        del self.world.peers[self.address]
        self.address = Address("udp", self.address.host, port)
        self.world.peers[self.address] = self

    async def connect(self) -> None:
        """Check, shake hands."""
        self.check()
        self.transport.connect(self.dtls_parameters())
        fingerprints = [
            Fingerprint(entry.algorithm, entry.value) for entry in self.transport.dtls_parameters.fingerprints
        ]
        self.dtls.start(fingerprints)
        async with asyncio.timeout(10):
            while self.dtls.state is not DtlsState.CONNECTED:  # noqa: ASYNC110 (turns of the loop)
                await asyncio.sleep(0)

    @property
    def srtp(self) -> SrtpSession:
        """Keys; raises before the handshake is over."""
        if self.dtls.srtp is None:
            raise RuntimeError("not connected")
        return self.dtls.srtp

    def on_dtls_state(self, state: DtlsState) -> None:
        """Nothing: `connect` looks."""

    def on_dtls_data(self, data: bytes) -> None:
        if self.on_data is not None:
            self.on_data(data)

    def send(self, data: bytes) -> None:
        """Send a datagram to the server."""
        self.world.to_server(data, self)

    def send_rtp(self, *packets: bytes) -> None:
        """Protect and send; the server's batch is over then, unless the path has a delay."""
        for packet in packets:
            self.send(self.srtp.protect(packet))
        self.world.server.plane.flush()

    def send_rtcp(self, *events: rtcp.Event) -> None:
        """Protect and send a compound."""
        compound = rtcp.ReceiverReport(1).serialize() + b"".join(event.serialize() for event in events)
        self.send(self.srtp.protect_rtcp(compound))

    def receive(self, data: bytes) -> None:
        """Take a datagram of the server."""
        if 20 <= data[0] <= 63:
            asyncio.get_running_loop().call_soon(self.dtls.receive, data)
        elif data[0] < 4:
            return
        elif is_rtcp(data):
            self.events += rtcp.parse(self.srtp.unprotect_rtcp(data))
        else:
            packet = self.srtp.unprotect(data)
            self.packets.append(packet)
            self.arrivals.append(self.world.clock.now)
            if self.on_packet is not None:
                self.on_packet(packet, rtp.parse(packet))

    def of_ssrc(self, ssrc: int | None) -> list[bytes]:
        """Return the packets of one stream."""
        return [packet for packet in self.packets if rtp.parse(packet).ssrc == ssrc]


FEEDBACK = (
    RtcpFeedback(type="nack"),
    RtcpFeedback(type="nack", parameter="pli"),
    RtcpFeedback(type="transport-cc"),
)
MID_ID, RID_ID, REPAIRED_ID, SEQUENCE_ID, LEVEL_ID = 1, 2, 3, 5, 6
EXTENSIONS = (
    RtpHeaderExtensionParameters(uri="urn:ietf:params:rtp-hdrext:sdes:mid", id=MID_ID),
    RtpHeaderExtensionParameters(uri="urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", id=RID_ID),
    RtpHeaderExtensionParameters(
        uri="urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", id=REPAIRED_ID
    ),
    RtpHeaderExtensionParameters(
        uri="http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", id=SEQUENCE_ID
    ),
    RtpHeaderExtensionParameters(uri="urn:ietf:params:rtp-hdrext:ssrc-audio-level", id=LEVEL_ID),
)


def video(
    *encodings: RtpEncodingParameters, mid: str | None = "v", mime_type: str = "video/VP8"
) -> RtpParameters:
    """Return what a browser would send: payload types 96 and 97 (RTX)."""
    parameters: dict[str, str | int] = {}
    if mime_type == "video/H264":
        parameters = {"packetization-mode": 1, "profile-level-id": "42e01f", "level-asymmetry-allowed": 1}
    return RtpParameters(
        mid=mid,
        codecs=(
            RtpCodecParameters(
                mime_type=mime_type,
                payload_type=96,
                clock_rate=90_000,
                parameters=parameters,
                rtcp_feedback=FEEDBACK,
            ),
            RtpCodecParameters(
                mime_type="video/rtx", payload_type=97, clock_rate=90_000, parameters={"apt": 96}
            ),
        ),
        header_extensions=EXTENSIONS,
        encodings=encodings or (encoding(1000),),
        rtcp=RtcpParameters(cname="someone"),
    )


def encoding(ssrc: int) -> RtpEncodingParameters:
    """Return one stream with RTX under the next SSRC."""
    return RtpEncodingParameters(ssrc=ssrc, rtx=RtxParameters(ssrc=ssrc + 1))


def audio(ssrc: int = 5000, mid: str | None = "a") -> RtpParameters:
    """Return Opus under payload type 111."""
    return RtpParameters(
        mid=mid,
        codecs=(RtpCodecParameters(mime_type="audio/opus", payload_type=111, clock_rate=48_000, channels=2),),
        header_extensions=EXTENSIONS,
        encodings=(RtpEncodingParameters(ssrc=ssrc),),
        rtcp=RtcpParameters(cname="someone"),
    )


def packet(
    number: int,
    *,
    ssrc: int = 1000,
    payload_type: int = 96,
    timestamp: int | None = None,
    payload: bytes = b"payload",
    marker: bool = False,
    extensions: list[tuple[int, bytes]] | None = None,
) -> bytes:
    """Return a plain RTP packet."""
    block = rtp.serialize_extensions(extensions or [])
    header = struct.pack(
        "!BBHLL",
        0x90 if block else 0x80,
        (0x80 if marker else 0) | payload_type,
        number & 0xFFFF,
        3000 * number & 0xFFFF_FFFF if timestamp is None else timestamp,
        ssrc,
    )
    return header + block + payload


def vp8(keyframe: bool, picture: int = 1, size: int = 100, *, temporal: int = 0, sync: bool = True) -> bytes:
    """Return a VP8 payload that is a whole frame of one packet."""
    descriptor = bytes(
        (0x90, 0xE0, 0x80 | picture >> 8 & 0x7F, picture & 0xFF, picture & 0xFF, temporal << 6 | sync << 5)
    )
    return descriptor + bytes((0 if keyframe else 1,)) + b"v" * size
