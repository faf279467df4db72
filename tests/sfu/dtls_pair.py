"""Two DTLS ends, linked without a network."""

import asyncio
from collections.abc import Callable

from sfu.dtls import DtlsCertificate, DtlsRole, DtlsState, DtlsTransport, Fingerprint

SERVER_CERTIFICATE = DtlsCertificate.generate()
CLIENT_CERTIFICATE = DtlsCertificate.generate()


class Recorder:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.states: list[DtlsState] = []
        self.data: list[bytes] = []
        self.forward: Callable[[bytes], None] | None = None

    def on_dtls_state(self, state: DtlsState) -> None:
        self.states.append(state)

    def on_dtls_data(self, data: bytes) -> None:
        self.data.append(data)
        if self.forward is not None:
            self.forward(data)


class Link:
    """Carries datagrams between two ends in the loop's next turn; `lost` says which it loses."""

    def __init__(self, handshake_seconds: float = 10.0) -> None:
        self.sent: list[bytes] = []
        self.lost: Callable[[bytes], bool] = lambda _: False
        self.on_server, self.on_client = Recorder(), Recorder()
        self.server = DtlsTransport(
            SERVER_CERTIFICATE, DtlsRole.SERVER, self._to_client, self.on_server, handshake_seconds
        )
        self.client = DtlsTransport(
            CLIENT_CERTIFICATE, DtlsRole.CLIENT, self._to_server, self.on_client, handshake_seconds
        )

    def start(
        self,
        of_client: tuple[Fingerprint, ...] = CLIENT_CERTIFICATE.fingerprints,
        of_server: tuple[Fingerprint, ...] = SERVER_CERTIFICATE.fingerprints,
    ) -> None:
        self.server.start(of_client)
        self.client.start(of_server)

    @property
    def states(self) -> tuple[DtlsState, DtlsState]:
        return self.server.state, self.client.state

    @property
    def is_connected(self) -> bool:
        return self.states == (DtlsState.CONNECTED, DtlsState.CONNECTED)

    def _to_client(self, datagram: bytes) -> None:
        self._carry(datagram, self.client)

    def _to_server(self, datagram: bytes) -> None:
        self._carry(datagram, self.server)

    def _carry(self, datagram: bytes, end: DtlsTransport) -> None:
        self.sent.append(datagram)
        if not self.lost(datagram):
            asyncio.get_running_loop().call_soon(end.receive, datagram)
