"""One WebRTC transport from the side of a browser: it asks, shakes hands, and hands media on as it came."""

import asyncio
import contextlib
import ipaddress
import os
import secrets
import socket
import time
from typing import Final, Protocol

from bench.errors import BenchError
from bench.webrtc_load.datagrams import DatagramReader
from bench.webrtc_load.descriptions import Answer
from sfu.dtls import DtlsCertificate, DtlsState, DtlsTransport
from sfu.protocol import stun
from sfu.protocol.errors import MalformedPacket
from sfu.protocol.ice_lite import IceCredentials
from sfu.srtp import SrtpError, SrtpSession

CHECK_SECONDS: Final = 0.1
CHECKS: Final = 30
CONSENT_SECONDS: Final = 5.0
HANDSHAKE_SECONDS: Final = 15.0
SEND_BUFFER_BYTES: Final = 1024 * 1024

_PRIORITY: Final = (110 << 24 | 0xFFFF << 8 | 255).to_bytes(4, "big")


class Media(Protocol):
    """Who is behind a connection."""

    def on_rtp(self, packet: memoryview, at: int) -> None:
        """Take an SRTP packet, still encrypted; it is overwritten after the call."""

    def on_rtcp(self, compound: bytes) -> None:
        """Take a plain RTCP packet."""


class PeerConnection:
    """Made, ``connect`` by the answer, ``send``; ``close`` in the end."""

    def __init__(self, certificate: DtlsCertificate, reader: DatagramReader, media: Media) -> None:
        self.ice = IceCredentials.generate()
        self.srtp: SrtpSession | None = None
        self.is_lost = False
        """The peer ended what had begun."""
        self._certificate = certificate
        self._reader = reader
        self._media = media
        self._tie_breaker = secrets.token_bytes(8)
        self._answer: Answer | None = None
        self._socket: socket.socket | None = None
        self._dtls: DtlsTransport | None = None
        self._checked: asyncio.Future[None] | None = None
        self._secured: asyncio.Future[None] | None = None

    async def connect(self, answer: Answer) -> None:
        """Check, shake hands, be ready for media. Raises BenchError where the peer does not take part."""
        loop = asyncio.get_running_loop()
        self._answer = answer
        self._checked, self._secured = loop.create_future(), loop.create_future()
        self._open(answer)
        await self._check_until_answered()
        role, listener = answer.role, self
        self._dtls = DtlsTransport(self._certificate, role, self.send, listener, HANDSHAKE_SECONDS)
        self._dtls.start(answer.fingerprints)
        await self._secured

    def send(self, datagram: bytes) -> None:
        """Send now or never."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.send(datagram)

    def send_rtcp(self, compound: bytes) -> None:
        """Encrypt and send, once there are keys."""
        if self.srtp is not None:
            self.send(self.srtp.protect_rtcp(compound))

    def consent(self) -> None:
        """Tell the peer that its media is still wanted; every CONSENT_SECONDS (RFC 7675)."""
        self._check()

    def close(self) -> None:
        """Say goodbye and leave nothing behind."""
        if self._dtls is not None:
            self._dtls.close()
        if self._socket is not None:
            self._reader.remove(self._socket)
            self._socket.close()
            self._socket = None

    def receive(self, datagram: memoryview, at: int) -> None:
        """Take what the socket got."""
        first = datagram[0] if datagram else 255
        if 128 <= first <= 191 and len(datagram) >= 12:
            if not 192 <= datagram[1] <= 223:
                self._media.on_rtp(datagram, at)
            else:
                self._receive_rtcp(bytes(datagram))
        elif first < 4:
            self._receive_stun(bytes(datagram))
        elif self._dtls is not None and 20 <= first <= 63:
            self._dtls.receive(bytes(datagram))

    # DtlsListener

    def on_dtls_state(self, state: DtlsState) -> None:
        if state is DtlsState.CONNECTED and self._dtls is not None:
            self.srtp = self._dtls.srtp
            _settle(self._secured, None)
        elif state in (DtlsState.FAILED, DtlsState.CLOSED):
            self.is_lost = True
            _settle(self._secured, BenchError(f"the DTLS handshake is {state.value}"))

    def on_dtls_data(self, data: bytes) -> None:
        """Nobody opened a data channel."""

    # Stages

    def _open(self, answer: Answer) -> None:
        family = socket.AF_INET6 if ipaddress.ip_address(answer.host).version == 6 else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        try:
            self._socket.connect((answer.host, answer.port))
        except OSError as error:
            raise BenchError(f"{answer.host}: {os.strerror(error.errno or 0)}") from None
        self._reader.add(self._socket, self.receive)

    async def _check_until_answered(self) -> None:
        assert self._checked is not None
        for _ in range(CHECKS):
            self._check()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._checked), CHECK_SECONDS)
                return
        raise BenchError("no answer to ICE checks")

    def _check(self) -> None:
        """A controlling agent that nominates at once: there is but one pair."""
        if self._answer is None:
            return
        username = f"{self._answer.ice_username}:{self.ice.username_fragment}".encode()
        attributes = [
            (stun.USERNAME, username),
            (stun.PRIORITY, _PRIORITY),
            (stun.ICE_CONTROLLING, self._tie_breaker),
            (stun.USE_CANDIDATE, b""),
        ]
        key = self._answer.ice_password.encode()
        self.send(stun.serialize(stun.REQUEST, secrets.token_bytes(12), attributes, key))

    def _receive_stun(self, datagram: bytes) -> None:
        """An answer is one if it is signed; a full agent on the other side gets its checks answered."""
        try:
            message = stun.parse(datagram)
        except MalformedPacket:
            return
        if message.message_class == stun.SUCCESS and self._answer is not None:
            if message.has_integrity(self._answer.ice_password.encode()):
                _settle(self._checked, None)
        elif message.message_class == stun.REQUEST and self._socket is not None:
            host, port = self._socket.getpeername()[:2]
            self.send(stun.success(message.transaction_id, host, port, self.ice.password.encode()))

    def _receive_rtcp(self, packet: bytes) -> None:
        if self.srtp is not None:
            with contextlib.suppress(SrtpError):
                self._media.on_rtcp(self.srtp.unprotect_rtcp(packet))


def ntp_now() -> int:
    """Return the wall clock as 32.32 fixed point seconds since 1900."""
    return int((time.time() + 2_208_988_800) * 2**32)


def _settle(waiting: "asyncio.Future[None] | None", error: BenchError | None) -> None:
    if waiting is None or waiting.done():
        return
    if error is None:
        waiting.set_result(None)
    else:
        waiting.set_exception(error)
