"""A WebRTC client made by hand, so that a test decides about every datagram: STUN, DTLS and SRTP."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import Final, cast

from sfu.dtls import DtlsCertificate, DtlsRole, DtlsState, DtlsTransport, Fingerprint
from sfu.protocol.ice_lite import IceCredentials
from sfu.protocol.parameters import DtlsFingerprint, DtlsParameters
from sfu.srtp import SrtpError, SrtpSession
from sfu.transport import WebRtcTransport
from tests.helpers.waiting import eventually
from tests.sfu.checks import check

CERTIFICATE: Final = DtlsCertificate.generate()
CHECK_SECONDS: Final = 0.2


class Socket(asyncio.DatagramProtocol):
    """A UDP socket that keeps what it receives."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def local(self) -> tuple[str, int]:
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")[:2]
        return host, port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's is none by its class

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.got.append(data)

    async def open(self, port: int) -> None:
        await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, remote_addr=("127.0.0.1", port)
        )

    def send(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.sendto(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class RawPeer(Socket):
    """The client of ``transport``; ``rtp`` and ``rtcp`` are what came, decrypted."""

    def __init__(self, transport: WebRtcTransport) -> None:
        super().__init__()
        self.transport = transport
        self.rtp: list[bytes] = []
        self.rtcp: list[bytes] = []
        self.sent_records: list[bytes] = []
        self.dtls = DtlsTransport(CERTIFICATE, DtlsRole.CLIENT, self._send_record, self)
        self._consent: asyncio.Task[None] | None = None

    @property
    def credentials(self) -> IceCredentials:
        """The server's."""
        ice = self.transport.ice_parameters
        return IceCredentials(ice.username_fragment, ice.password)

    @property
    def srtp(self) -> SrtpSession:
        assert self.dtls.srtp is not None
        return self.dtls.srtp

    async def connect(self) -> None:
        """Open a socket and prove its address, then shake hands."""
        await self.reach()
        self.begin_dtls()
        await eventually(lambda: self.dtls.state is DtlsState.CONNECTED)

    async def reach(self) -> None:
        """Open a (another) socket, prove its address and go on proving it."""
        self.close()
        await self.open(self.transport.ice_candidates[0].port)
        self._consent = asyncio.create_task(self._prove())
        local = self.local
        await eventually(lambda: self.transport.ice.selected and self.transport.ice.selected[1:] == local)

    def begin_dtls(self, certificate: DtlsCertificate = CERTIFICATE) -> None:
        """Let the server expect the fingerprints of ``certificate``, and say hello."""
        fingerprints = tuple(
            DtlsFingerprint(algorithm=entry.algorithm, value=entry.value)  # type: ignore[arg-type]
            for entry in certificate.fingerprints
        )
        self.transport.connect(DtlsParameters(fingerprints=fingerprints, role="client"))
        servers = self.transport.dtls_parameters.fingerprints
        self.dtls.start([Fingerprint(entry.algorithm, entry.value) for entry in servers])

    def send_check(self, credentials: IceCredentials | None = None) -> None:
        transaction = secrets.token_bytes(12)
        self.send(check(credentials or self.credentials, nominate=True, transaction_id=transaction))

    def send_rtp(self, packet: bytes) -> bytes:
        """Send a plain packet; return what it became."""
        protected = self.srtp.protect(packet)
        self.send(protected)
        return protected

    def send_rtcp(self, packet: bytes) -> None:
        self.send(self.srtp.protect_rtcp(packet))

    def close(self) -> None:
        """Vanish without a word."""
        if self._consent is not None:
            self._consent.cancel()
        super().close()

    async def _prove(self) -> None:
        while True:
            self.send_check()
            await asyncio.sleep(CHECK_SECONDS)

    def _send_record(self, record: bytes) -> None:
        self.sent_records.append(record)
        self.send(record)

    def datagram_received(self, data: bytes, addr: object) -> None:
        super().datagram_received(data, addr)
        if 20 <= data[0] <= 63:
            self.dtls.receive(data)
        elif data[0] >= 128:
            self._receive_media(data)

    def _receive_media(self, data: bytes) -> None:
        with suppress(SrtpError):
            if 192 <= data[1] <= 223:
                self.rtcp.append(self.srtp.unprotect_rtcp(data))
            else:
                self.rtp.append(self.srtp.unprotect(data))

    def on_dtls_state(self, state: DtlsState) -> None:
        """Nothing to do."""

    def on_dtls_data(self, data: bytes) -> None:
        """Nothing to do."""
