"""DTLS of one WebRTC transport (RFC 5764, RFC 8827 6.5): handshake, fingerprint, SRTP keys, SCTP's bytes.

aiortc's RTCDtlsTransport does the same upon the same OpenSSL, yet waits in a task and a queue for every
datagram, media included, and ends for good at a datagram that it cannot decrypt.  Here datagrams go in and
come out by plain calls; the only timers are OpenSSL's retransmission and the handshake's deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from sfu.srtp import PROFILES, SrtpProfile, SrtpSession

HANDSHAKE_SECONDS: Final = 30.0
MAX_DATAGRAM_SIZE: Final = 2048
"""Longer ones are dropped: no path carries them."""
MTU: Final = 1200
"""Datagrams of a handshake are no longer; it is IPv6's smallest with room for a tunnel's headers."""
MAX_MESSAGE_SIZE: Final = 16384
"""The most that one record holds (RFC 6347 4.1)."""
MAX_EARLY_DATAGRAMS: Final = 8
"""Kept until the peer's fingerprint is known: a hello comes sooner than a second later again."""

CERTIFICATE_DAYS: Final = 3650
"""Peers compare fingerprints and look at no date; a process may run for long."""

_DTLS_1_2: Final = 0xFEFD
"""Browsers that know 1.3 know it, too; the records' headers of 1.3 are other ones."""
_CIPHERS: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA:"
    b"ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305"
)
"""The RSA ones are for servers with an RSA certificate, when the client is this side."""
_EXPORTER_LABEL: Final = b"EXTRACTOR-dtls_srtp"
_DIGESTS: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha-256": hashes.SHA256(),
    "sha-384": hashes.SHA384(),
    "sha-512": hashes.SHA512(),
}
"""SHA-1 is left out (RFC 8122 5 wants better)."""
_RECORD_HEADER_SIZE: Final = 13
_MODE_RELEASE_BUFFERS: Final = 0x10
"""OpenSSL's SSL_MODE_RELEASE_BUFFERS, which pyOpenSSL does not name."""


class DtlsRole(Enum):
    """Who says hello first; a server is ``a=setup:passive``."""

    CLIENT = "client"
    SERVER = "server"


class DtlsState(Enum):
    """W3C's RTCDtlsTransportState."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"


class Fingerprint(NamedTuple):
    """A certificate's digest as SDP has it: ``sha-256`` and pairs of hexadecimal digits between colons."""

    algorithm: str
    value: str


class DtlsListener(Protocol):
    """Who is told; called from within `receive`, `start`, `close` and timers."""

    def on_dtls_state(self, state: DtlsState) -> None:
        """Take a new state; at CONNECTED the transport has its `srtp`."""

    def on_dtls_data(self, data: bytes) -> None:
        """Take what one record held: an SCTP packet."""


class DtlsCertificate:
    """The process's key, self-signed certificate and OpenSSL context, for all its transports."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.fingerprints = tuple(
            Fingerprint(algorithm, _digest(certificate, algorithm)) for algorithm in _DIGESTS
        )
        self.context = _context(key, certificate)

    @classmethod
    def generate(cls) -> DtlsCertificate:
        """Return a new one; its key leaves this process by no way."""
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key, _self_signed(key))


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, os.urandom(8).hex())])
    now = datetime.datetime.now(tz=datetime.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(days=1),
        not_valid_after=now + datetime.timedelta(days=CERTIFICATE_DAYS),
    )
    return builder.sign(key, hashes.SHA256())


def _context(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(_DTLS_1_2)
    context.set_max_proto_version(_DTLS_1_2)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_QUERY_MTU)
    # Transports are silent after the handshake: buffers for records would be kept for nothing, 20 kB each.
    context.set_mode(_MODE_RELEASE_BUFFERS)
    # The certificate is self-signed: its fingerprint is what counts, and is compared after the handshake.
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    context.set_cipher_list(_CIPHERS)
    context.set_tlsext_use_srtp(b":".join(profile.name for profile in PROFILES))
    return context


def _digest(certificate: x509.Certificate, algorithm: str) -> str:
    return certificate.fingerprint(_DIGESTS[algorithm]).hex(":").upper()


class DtlsTransport:
    """One association; made in NEW, `start` when the peer's fingerprints are known, then fed by `receive`."""

    def __init__(
        self,
        certificate: DtlsCertificate,
        role: DtlsRole,
        send: Callable[[bytes], None],
        listener: DtlsListener,
        handshake_seconds: float = HANDSHAKE_SECONDS,
    ) -> None:
        """`send` takes one datagram to wherever ICE says, or drops it; it must not raise."""
        self.role = role
        self.state = DtlsState.NEW
        self.srtp: SrtpSession | None = None
        self.discarded = 0
        """Datagrams and records that were of no use: oversized, unreadable, too early."""
        self._certificate = certificate
        self._send = send
        self._listener = listener
        self._handshake_seconds = handshake_seconds
        self._remote: tuple[Fingerprint, ...] = ()
        self._early: list[bytes] = []
        self._ssl: SSL.Connection | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._retransmission: asyncio.TimerHandle | None = None

    def start(self, remote_fingerprints: Sequence[Fingerprint]) -> None:
        """Begin the handshake with the peer that has this certificate; needs a running loop."""
        if self.state is not DtlsState.NEW:
            raise RuntimeError(f"DTLS is {self.state.value}")
        self._remote = tuple(remote_fingerprints)
        self._ssl = SSL.Connection(self._certificate.context)
        self._ssl.set_ciphertext_mtu(MTU)
        if self.role is DtlsRole.SERVER:
            self._ssl.set_accept_state()
        else:
            self._ssl.set_connect_state()
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._handshake_seconds, self._end, DtlsState.FAILED)
        self._become(DtlsState.CONNECTING)
        early, self._early = self._early, []
        self._advance()
        for datagram in early:
            self.receive(datagram)

    def receive(self, datagram: bytes) -> None:
        """Take a datagram whose first byte is 20 to 63 (RFC 7983); never raises for its sake."""
        if self.state is DtlsState.NEW and len(self._early) < MAX_EARLY_DATAGRAMS:
            self._early.append(datagram)
        elif self._ssl is None or not 0 < len(datagram) <= MAX_DATAGRAM_SIZE:
            self.discarded += 1
        else:
            self._ssl.bio_write(datagram)
            self._advance()

    def send(self, data: bytes) -> None:
        """Send `data` as one record; raises ConnectionError unless connected."""
        if self._ssl is None or self.state is not DtlsState.CONNECTED:
            raise ConnectionError("DTLS is not connected")
        try:
            self._ssl.send(data)
        except SSL.Error as error:
            raise ConnectionError("DTLS cannot send") from error
        self._flush(self._ssl)

    def close(self) -> None:
        """Tell the peer and end; does nothing a second time."""
        if self._ssl is not None:
            with contextlib.suppress(SSL.Error):
                self._ssl.shutdown()
            self._flush(self._ssl)
        self._end(DtlsState.CLOSED)

    def _advance(self) -> None:
        """Let OpenSSL work off what was written to it, send what it answers, and mind its timer."""
        connection = self._ssl
        if connection is None:
            return
        if self.state is DtlsState.CONNECTING:
            self._handshake(connection)
        if self.state is DtlsState.CONNECTED:
            self._read(connection)
        self._flush(connection)
        if self._ssl is not None:
            self._await_retransmission(connection)

    def _handshake(self, connection: SSL.Connection) -> None:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            return
        except SSL.Error:
            self._flush(connection)
            self._end(DtlsState.FAILED)
            return
        self.srtp = self._srtp(connection) if self._is_expected(connection) else None
        if self.srtp is None:
            self._flush(connection)
            self._end(DtlsState.FAILED)
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._become(DtlsState.CONNECTED)

    def _read(self, connection: SSL.Connection) -> None:
        """Hand on every record of the datagram."""
        while self.state is DtlsState.CONNECTED:
            try:
                data = connection.recv(MAX_MESSAGE_SIZE)
            except SSL.WantReadError:
                return
            except SSL.ZeroReturnError:
                self.close()
                return
            except SSL.Error:
                self.discarded += 1
                # a fatal alert that the peer's key vouches for ends it, anything else is not the peer's
                if connection.get_shutdown() & SSL.RECEIVED_SHUTDOWN:
                    self.close()
                return
            self._listener.on_dtls_data(data)

    def _flush(self, connection: SSL.Connection) -> None:
        """Send OpenSSL's records, whose datagrams' bounds its memory buffer does not keep."""
        parts = []
        with contextlib.suppress(SSL.Error):
            while True:
                parts.append(connection.bio_read(65536))
        for datagram in datagrams(b"".join(parts)):
            self._send(datagram)

    def _await_retransmission(self, connection: SSL.Connection) -> None:
        if self._retransmission is not None:
            self._retransmission.cancel()
            self._retransmission = None
        seconds = connection.DTLSv1_get_timeout()
        if seconds is not None:
            loop = asyncio.get_running_loop()
            self._retransmission = loop.call_later(max(seconds, 0.01), self._retransmit)

    def _retransmit(self) -> None:
        self._retransmission = None
        connection = self._ssl
        if connection is None:
            return
        try:
            connection.DTLSv1_handle_timeout()
        except SSL.Error:
            self._end(DtlsState.FAILED)
            return
        self._flush(connection)
        self._await_retransmission(connection)

    def _is_expected(self, connection: SSL.Connection) -> bool:
        """At least one fingerprint is of an algorithm known here, and all those are the certificate's."""
        certificate = connection.get_peer_certificate(as_cryptography=True)
        known = [fingerprint for fingerprint in self._remote if fingerprint.algorithm.lower() in _DIGESTS]
        return (
            certificate is not None
            and bool(known)
            and all(
                fingerprint.value.upper() == _digest(certificate, fingerprint.algorithm.lower())
                for fingerprint in known
            )
        )

    def _srtp(self, connection: SSL.Connection) -> SrtpSession | None:
        name = connection.get_selected_srtp_profile()
        profile = next((profile for profile in PROFILES if profile.name == name), None)
        if profile is None:
            return None
        size = 2 * (profile.key_size + profile.salt_size)
        client, server = _split_keys(profile, connection.export_keying_material(_EXPORTER_LABEL, size))
        if self.role is DtlsRole.SERVER:
            return SrtpSession(profile, sending_key=server, receiving_key=client)
        return SrtpSession(profile, sending_key=client, receiving_key=server)

    def _become(self, state: DtlsState) -> None:
        self.state = state
        self._listener.on_dtls_state(state)

    def _end(self, state: DtlsState) -> None:
        if self.state in (DtlsState.FAILED, DtlsState.CLOSED):
            return
        for timer in (self._deadline, self._retransmission):
            if timer is not None:
                timer.cancel()
        self._ssl = None
        self._early.clear()
        self._become(state)


def _split_keys(profile: SrtpProfile, material: bytes) -> tuple[bytes, bytes]:
    """Return the client's and the server's key with its salt (RFC 5764 4.2)."""
    key, salt = profile.key_size, profile.salt_size
    client = material[:key] + material[2 * key : 2 * key + salt]
    server = material[key : 2 * key] + material[2 * key + salt : 2 * (key + salt)]
    return client, server


def datagrams(records: bytes) -> list[bytes]:
    """Divide `records`, whole ones of our own OpenSSL, into datagrams that fit the path."""
    result: list[bytes] = []
    start = end = 0
    while end < len(records):
        header_end = end + _RECORD_HEADER_SIZE
        following = header_end + int.from_bytes(records[header_end - 2 : header_end], "big")
        if following - start > MTU and end > start:
            result.append(records[start:end])
            start = end
        end = following
    if end > start:
        result.append(records[start:end])
    return result
