"""The way to one peer: ICE says where it is, DTLS who it is, SRTP keeps what is said between the two."""

from __future__ import annotations

import math
import socket
from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from sfu.dtls import DtlsCertificate, DtlsRole, DtlsState, DtlsTransport, Fingerprint
from sfu.errors import AlreadyConnected
from sfu.media_plane import MediaPlane
from sfu.protocol.ice_lite import (
    Address,
    IceCredentials,
    IceEvent,
    IceLiteAgent,
    IceState,
    SelectedAddressChanged,
)
from sfu.protocol.parameters import DtlsParameters, IceParameters
from sfu.sending_path import SendingPath
from sfu.srtp import SrtpSession


class TransportState(Enum):
    """W3C's RTCPeerConnectionState."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    FAILED = "failed"
    CLOSED = "closed"


class LinkHost(Protocol):
    """The server with its sockets."""

    plane: MediaPlane
    certificate: DtlsCertificate

    def send(self, address: Address, data: bytes) -> None:
        """Send one datagram, or drop it."""

    def socket_to(self, host: str) -> tuple[socket.socket | None, bool]:
        """Return the UDP socket that reaches `host`, and whether it can send by segments."""
        ...


class LinkListener(Protocol):
    """The transport."""

    def link_changed(self, state: TransportState) -> None:
        """Take another state, none of those that end it."""

    def link_ended(self, state: TransportState) -> None:
        """Take the end: DISCONNECTED, FAILED or CLOSED."""

    def link_secured(self, srtp: SrtpSession) -> None:
        """Take the keys: media may flow."""

    def link_data(self, data: bytes) -> None:
        """Take an SCTP packet."""


class PeerLink:
    """Holds the `paths` of a transport open or shut, as ICE and DTLS have it."""

    def __init__(self, host: LinkHost, listener: LinkListener, paths: Sequence[SendingPath]) -> None:
        self.ice = IceLiteAgent(IceCredentials.generate(), math.inf)
        self.dtls = DtlsTransport(host.certificate, DtlsRole.SERVER, self.send_datagram, self)
        self.srtp: SrtpSession | None = None
        self.role = "auto"
        """Ours, `auto` until the peer's is known."""
        self._host = host
        self._listener = listener
        self._paths = paths
        self._remote: tuple[Fingerprint, ...] = ()

    @property
    def ice_parameters(self) -> IceParameters:
        """The credentials for the peer's checks: those of the last restart."""
        credentials = self.ice.newest_credentials
        return IceParameters(
            username_fragment=credentials.username_fragment, password=credentials.password, ice_lite=True
        )

    def connect(self, dtls: DtlsParameters) -> None:
        """Expect the peer with these fingerprints; its role `auto` leaves the first hello to it."""
        if self._remote:
            raise AlreadyConnected("the transport is connected already")
        self.ice.expect(self._host.plane.clock())
        self._remote = tuple(Fingerprint(entry.algorithm, entry.value) for entry in dtls.fingerprints)
        self.dtls.role = DtlsRole.CLIENT if dtls.role == "server" else DtlsRole.SERVER
        self.role = self.dtls.role.value
        self._start_dtls()

    def on_ice_event(self, event: IceEvent) -> None:
        """Take what became of the peer's addresses."""
        if isinstance(event, SelectedAddressChanged):
            self._select(event.address)
        elif event.state is IceState.DISCONNECTED:
            self._listener.link_ended(TransportState.DISCONNECTED)
        elif event.state is IceState.FAILED:
            self._listener.link_ended(TransportState.FAILED)
        else:
            self._start_dtls()
            self._settle()

    def _select(self, address: Address | None) -> None:
        """Send to `address` from now on."""
        for path in self._paths:
            path.udp = path.address = path.send = None
            path.segmentation = False
            if address is not None and address.transport == "udp":
                path.udp, path.segmentation = self._host.socket_to(address.host)
                path.address = (address.host, address.port)
            elif address is not None:
                path.send = self.send_datagram
        self._start_dtls()
        self._settle()

    def _settle(self) -> None:
        """Be in the state that ICE and DTLS make."""
        if self.dtls.state is DtlsState.CONNECTED:
            is_reachable = self.ice.selected is not None
            self._listener.link_changed(
                TransportState.CONNECTED if is_reachable else TransportState.DISCONNECTED
            )
        elif self.ice.selected is not None:
            self._listener.link_changed(TransportState.CONNECTING)

    def _start_dtls(self) -> None:
        """Begin the handshake when the peer is known and, if we say hello, can be reached."""
        is_ready = self.dtls.role is DtlsRole.SERVER or self.ice.selected is not None
        if self._remote and is_ready and self.dtls.state is DtlsState.NEW:
            self.dtls.start(self._remote)

    def on_dtls_state(self, state: DtlsState) -> None:
        """Take the handshake's progress and end."""
        if state is DtlsState.CONNECTED and self.dtls.srtp is not None:
            self.srtp = self.dtls.srtp
            for path in self._paths:
                path.srtp = self.srtp
            self._settle()
            self._listener.link_secured(self.srtp)
        elif state is DtlsState.FAILED:
            self._listener.link_ended(TransportState.FAILED)
        elif state is DtlsState.CLOSED:
            self._listener.link_ended(TransportState.CLOSED)

    def on_dtls_data(self, data: bytes) -> None:
        """Take an SCTP packet."""
        self._listener.link_data(data)

    def send_datagram(self, data: bytes) -> None:
        """Send to where the peer is, or drop."""
        address = self.ice.selected
        if address is not None:
            self._host.send(address, data)

    def send_rtcp(self, compound: bytes) -> None:
        """Send a compound, or drop it while there is no way."""
        path = self._paths[0]
        if path.srtp is not None and path.is_open:
            path.send_one(path.srtp.protect_rtcp(compound))

    def close(self) -> None:
        """Tell the peer and end."""
        self.dtls.close()
        for path in self._paths:
            path.srtp = None
        self.srtp = None
