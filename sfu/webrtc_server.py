"""WebRTC for all rooms of the process: one port, one certificate, one forwarding loop."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from sfu.dtls import DtlsCertificate
from sfu.media_plane import MediaPlane, SfuCounters
from sfu.mux import Endpoint, Mux, MuxCounters
from sfu.protocol import ortc
from sfu.protocol.ice_lite import Address, IceCredentials, IceEvent
from sfu.protocol.parameters import IceCandidate, RtpCodecCapability
from sfu.router import Router
from sfu.sending_path import can_segment
from sfu.server import RtcServer, RtcServerCounters
from sfu.transport import WebRtcTransport
from sfu.transport_ports import TransportLimits

TICK_SECONDS: Final = 0.01
IDLE_SECONDS: Final = 0.1
"""While nobody is there."""
MIN_TICK_SECONDS: Final = 0.003
"""While packets wait for their pace."""
FAULT_SECONDS: Final = 0.5
"""So long a transport rests whose tick raised: what it failed at is still there in the next one."""
HOLD_SECONDS: Final = 0.001
"""So long parts of a frame wait for the rest: one system call per viewer sends all of it."""
_HOST_PREFERENCE: Final = 126 << 24
_UDP_PREFERENCE: Final = 65_535
_TCP_PREFERENCE: Final = 32_767
_PROBE_ADDRESSES: Final = {4: ("192.0.2.1", 9), 6: ("2001:db8::1", 9)}
"""Documentation's addresses (RFC 5737, RFC 3849): nothing is sent there, the kernel only chooses a route."""


@dataclass(frozen=True, slots=True)
class WebRtcOptions:
    """What rooms may have, and which codecs."""

    codecs: tuple[RtpCodecCapability, ...] = field(default_factory=ortc.default_media_codecs)
    max_transports_per_router: int = 1000
    transport_limits: TransportLimits = field(default_factory=TransportLimits)


@dataclass(frozen=True, slots=True)
class WebRtcCounters:
    """All counters of WebRTC, for /metrics."""

    media: SfuCounters
    mux: MuxCounters
    sockets: RtcServerCounters


@dataclass(frozen=True, slots=True)
class WebRtcTotals:
    """How much there is now, and what came and left since the start."""

    routers: int
    transports: int
    producers: int
    consumers: int
    packets_in: int
    bytes_in: int
    packets_out: int
    bytes_out: int
    dropped: int


class WebRtcServer:
    """Makes routers; what transports need of the process is here."""

    def __init__(
        self,
        announced_addresses: Sequence[str] = (),
        options: WebRtcOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`announced_addresses` are what candidates say; by default where the server listens."""
        self.options = options or WebRtcOptions()
        self.limits = self.options.transport_limits
        self.plane = MediaPlane(clock)
        self.certificate = DtlsCertificate.generate()
        self.routers: dict[str, Router] = {}
        self._announced = tuple(announced_addresses)
        self._mux = Mux(self._on_ice_event)
        self._sockets = RtcServer(self._mux, on_drained=self.plane.flush)
        self.counters = WebRtcCounters(self.plane.counters, self._mux.counters, self._sockets.counters)
        self._transports: dict[int, WebRtcTransport] = {}
        self._segments: dict[socket.socket, bool] = {}
        self._candidates: tuple[IceCandidate, ...] = ()
        self._ended = [0, 0, 0]
        """Packets, octets and drops of transports that are closed."""
        self._ticker: asyncio.Task[None] | None = None

    @property
    def candidates(self) -> tuple[IceCandidate, ...]:
        """Where peers reach the server: UDP, and ICE-TCP beside it; none before `start`."""
        return self._candidates

    async def start(self, hosts: Sequence[str], port: int) -> int:
        """Listen on `port` of each host, one per address family; return its number; 0 takes a free one."""
        for host in hosts:
            port = await self._sockets.start(host, port)
        addresses = self._announced or tuple(reached for host in hosts for reached in _reached_by(host))
        self._candidates = tuple(
            candidate
            for index, address in enumerate(addresses)
            for candidate in _candidates_of(address, port, index)
        )
        self.plane.hold = self._hold
        self._ticker = asyncio.create_task(self._tick_forever(), name="sfu-ticker")
        return port

    async def close(self) -> None:
        """Close every router and the sockets; does nothing a second time."""
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.cancel()
            await asyncio.gather(ticker, return_exceptions=True)
        for router in tuple(self.routers.values()):
            router.close()
        await self._sockets.close()

    def create_router(self, room_id: str) -> Router:
        """Return a router for a room."""
        router = Router(self, room_id, self.options.codecs, self.options.max_transports_per_router)
        self.routers[router.id] = router
        return router

    def statistics(self) -> WebRtcTotals:
        """Return how much there is now, and what came and left."""
        transports = self._transports.values()
        sent = [sum(numbers) for numbers in zip(*map(_sent_by, transports), self._ended, strict=True)]
        counters = self.plane.counters
        return WebRtcTotals(
            routers=len(self.routers),
            transports=len(transports),
            producers=sum(len(router.producers) for router in self.routers.values()),
            consumers=sum(len(transport.consumers) for transport in transports),
            packets_in=counters.packets_received,
            bytes_in=counters.bytes_received,
            packets_out=sent[0],
            bytes_out=sent[1],
            dropped=sent[2],
        )

    def metrics(self) -> dict[str, dict[str, int]]:
        """Return all counters as plain numbers by group."""
        counters = self.counters
        return {
            "media": asdict(counters.media),
            "mux": asdict(counters.mux),
            "sockets": asdict(counters.sockets),
        }

    # What routers and transports call.

    def add_transport(self, transport: WebRtcTransport) -> None:
        """Let a transport receive."""
        self._mux.add(transport)
        self._transports[id(transport)] = transport

    def transport_closed(self, transport: WebRtcTransport) -> None:
        """Forget a transport."""
        self._mux.remove(transport)
        if self._transports.pop(id(transport), None) is not None:
            for index, number in enumerate(_sent_by(transport)):
                self._ended[index] += number

    def router_closed(self, router: Router) -> None:
        """Forget a router."""
        self.routers.pop(router.id, None)

    def send(self, address: Address, data: bytes) -> None:
        """Send one datagram, or drop it."""
        self._sockets.send(address, data)

    def socket_to(self, host: str) -> tuple[socket.socket | None, bool]:
        """Return the UDP socket that reaches `host`, and whether it can send by segments."""
        udp = self._sockets.datagram_socket(host)
        if udp is None:
            return None, False
        if udp not in self._segments:
            self._segments[udp] = can_segment(udp)
        return udp, self._segments[udp]

    def restart_ice(self, transport: WebRtcTransport, credentials: IceCredentials) -> None:
        """Answer checks with these credentials, too."""
        self._mux.restart(transport, credentials, self.plane.clock())

    def _hold(self) -> None:
        """Let parts of frames wait."""
        asyncio.get_running_loop().call_later(HOLD_SECONDS, self.plane.flush_all)

    def _on_ice_event(self, endpoint: Endpoint, event: IceEvent) -> None:
        transport = self._transports.get(id(endpoint))
        if transport is not None:
            transport.on_ice_event(event)

    async def _tick_forever(self) -> None:
        pause = TICK_SECONDS
        while True:
            await asyncio.sleep(pause)
            now = self.plane.clock()
            self.tick(now)
            deadlines = (transport.deadline for transport in self._transports.values())
            next_at = min(deadlines, default=None)
            pause = (
                IDLE_SECONDS if next_at is None else min(max(next_at - now, MIN_TICK_SECONDS), TICK_SECONDS)
            )

    def tick(self, now: float) -> None:
        """Do what time asks for; what one transport or router raises costs the others nothing."""
        for transport in tuple(self._transports.values()):
            if transport.deadline <= now and not self._ticks(transport, now):
                transport.deadline = now + FAULT_SECONDS
        for router in tuple(self.routers.values()):
            self._ticks(router, now)
        self.plane.release()

    def _ticks(self, subject: WebRtcTransport | Router, now: float) -> bool:
        try:
            subject.tick(now)
        except Exception as error:
            self.plane.note_fault("sfu_tick_failed", error)
            return False
        return True


def _sent_by(transport: WebRtcTransport) -> tuple[int, int, int]:
    paths = transport.paths
    return (
        sum(path.packets for path in paths),
        sum(path.octets for path in paths),
        sum(path.dropped for path in paths),
    )


def _reached_by(host: str) -> list[str]:
    """Return where a listening address is reached: itself, or the machine's own for "any"."""
    address = ipaddress.ip_address(host)
    if not address.is_unspecified:
        return [host]
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_PROBE_ADDRESSES[address.version])
        except OSError:
            return ["127.0.0.1" if address.version == 4 else "::1"]
        return [str(probe.getsockname()[0])]


def _candidates_of(address: str, port: int, index: int) -> tuple[IceCandidate, IceCandidate]:
    udp = IceCandidate(
        foundation=f"udp{index}",
        priority=_HOST_PREFERENCE | (_UDP_PREFERENCE - index) << 8 | 255,
        address=address,
        ip=address,
        protocol="udp",
        port=port,
        type="host",
    )
    tcp = IceCandidate(
        foundation=f"tcp{index}",
        priority=_HOST_PREFERENCE | (_TCP_PREFERENCE - index) << 8 | 255,
        address=address,
        ip=address,
        protocol="tcp",
        port=port,
        type="host",
        tcp_type="passive",
    )
    return udp, tcp
