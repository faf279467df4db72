"""What a transport needs of the server, and whom it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sfu import ingress_limit
from sfu.consumer import Consumer
from sfu.peer_link import LinkHost, TransportState
from sfu.protocol.ice_lite import IceCredentials
from sfu.protocol.parameters import IceCandidate

if TYPE_CHECKING:
    from sfu.transport import WebRtcTransport


class TransportListener(Protocol):
    """Who is told of a transport and its consumers."""

    def on_transport_state(self, transport: WebRtcTransport, state: TransportState) -> None:
        """Take a new state."""

    def on_transport_closed(self, transport: WebRtcTransport) -> None:
        """Take the end, once, whoever closed it."""

    def on_consumer_closed(self, consumer: Consumer) -> None:
        """Its producer was closed."""

    def on_consumer_paused(self, consumer: Consumer) -> None:
        """Its producer was paused or goes on: see `producer_paused`."""

    def on_consumer_layers(self, consumer: Consumer) -> None:
        """Other layers are being sent: see `current_layers`."""


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """What one transport may have, and what its peer may send in a second: packets, and bits."""

    producers: int = 16
    consumers: int = 256
    ingress_packets: int = ingress_limit.MAX_PACKETS
    ingress_bitrate: int = ingress_limit.MAX_BITRATE


class TransportHost(LinkHost, Protocol):
    """The server."""

    limits: TransportLimits

    @property
    def candidates(self) -> tuple[IceCandidate, ...]:
        """Where peers reach the server."""
        ...

    def restart_ice(self, transport: WebRtcTransport, credentials: IceCredentials) -> None:
        """Answer checks with these credentials, too."""

    def transport_closed(self, transport: WebRtcTransport) -> None:
        """Forget a transport."""
