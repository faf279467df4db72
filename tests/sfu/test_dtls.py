"""DTLS: two of ours, ours with aiortc's, and peers that are hostile."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiortc.rtcdtlstransport import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
)
from hypothesis import given
from hypothesis import strategies as st

from sfu.dtls import (
    MAX_EARLY_DATAGRAMS,
    MTU,
    DtlsRole,
    DtlsState,
    DtlsTransport,
    Fingerprint,
    datagrams,
)
from tests.helpers.waiting import eventually
from tests.sfu.dtls_pair import CLIENT_CERTIFICATE, SERVER_CERTIFICATE, Link, Recorder
from tests.sfu.srtp_pair import rtp


async def connected() -> Link:
    link = Link()
    link.start()
    await eventually(lambda: link.is_connected)
    return link


class TestTwoOfOurs:
    async def test_share_keys_and_prefer_gcm(self) -> None:
        link = await connected()
        server, client = link.server.srtp, link.client.srtp
        assert server is not None and client is not None
        assert server.profile.name == b"SRTP_AEAD_AES_128_GCM"
        assert client.unprotect(server.protect(rtp(1))) == rtp(1)
        assert server.unprotect(client.protect(rtp(1))) == rtp(1)

    async def test_carry_data_both_ways(self) -> None:
        link = await connected()
        link.client.send(b"a" * 1100)
        link.client.send(b"b")
        link.server.send(b"c")
        await eventually(lambda: len(link.on_server.data) == 2 and link.on_client.data)
        assert link.on_server.data == [b"a" * 1100, b"b"]
        assert link.on_client.data == [b"c"]

    async def test_the_end_of_one_is_the_end_of_the_other(self) -> None:
        link = await connected()
        link.client.close()
        await eventually(lambda: link.states == (DtlsState.CLOSED, DtlsState.CLOSED))
        link.client.close()
        assert link.on_client.states == [DtlsState.CONNECTING, DtlsState.CONNECTED, DtlsState.CLOSED]
        with pytest.raises(ConnectionError):
            link.client.send(b"late")

    async def test_no_datagram_of_a_handshake_exceeds_the_path(self) -> None:
        link = await connected()
        assert max(len(datagram) for datagram in link.sent) <= MTU

    async def test_a_hello_before_the_fingerprint_is_known_waits(self) -> None:
        link = Link()
        link.client.start(SERVER_CERTIFICATE.fingerprints)
        await eventually(lambda: link.sent)
        await asyncio.sleep(0)
        link.server.start(CLIENT_CERTIFICATE.fingerprints)
        await eventually(lambda: link.is_connected)
        assert len(link.sent) == 4, "the hello had to be sent again"

    async def test_a_lost_flight_is_sent_again(self) -> None:
        link = Link()
        link.lost = lambda datagram: len(link.sent) == 2
        link.start()
        await eventually(lambda: link.is_connected)
        assert len(link.sent) > 4


class TestFingerprint:
    async def test_another_certificate_fails_and_gives_no_keys(self) -> None:
        link = Link()
        link.start(of_client=SERVER_CERTIFICATE.fingerprints)
        await eventually(lambda: link.server.state is DtlsState.FAILED)
        assert link.server.srtp is None
        assert DtlsState.CONNECTED not in link.on_server.states

    async def test_none_that_is_known_fails(self) -> None:
        link = Link()
        link.start(of_client=(Fingerprint("sha-1", "00"),))
        await eventually(lambda: link.server.state is DtlsState.FAILED)

    async def test_one_of_two_is_not_enough(self) -> None:
        link = Link()
        good, bad = CLIENT_CERTIFICATE.fingerprints[0], SERVER_CERTIFICATE.fingerprints[1]
        link.start(of_client=(good, bad))
        await eventually(lambda: link.server.state is DtlsState.FAILED)

    async def test_letters_may_be_small(self) -> None:
        link = Link()
        algorithm, value = CLIENT_CERTIFICATE.fingerprints[0]
        link.start(of_client=(Fingerprint(algorithm.upper(), value.lower()),))
        await eventually(lambda: link.is_connected)


class TestHostilePeers:
    async def test_silence_fails_at_the_deadline(self) -> None:
        listener = Recorder()
        transport = DtlsTransport(SERVER_CERTIFICATE, DtlsRole.SERVER, lambda _: None, listener, 0.05)
        transport.start(CLIENT_CERTIFICATE.fingerprints)
        await eventually(lambda: transport.state is DtlsState.FAILED)
        assert listener.states == [DtlsState.CONNECTING, DtlsState.FAILED]

    async def test_early_datagrams_are_bounded(self) -> None:
        transport = DtlsTransport(SERVER_CERTIFICATE, DtlsRole.SERVER, lambda _: None, Recorder())
        for _ in range(MAX_EARLY_DATAGRAMS + 3):
            transport.receive(b"\x16")
        assert transport.discarded == 3

    async def test_replayed_records_arrive_once(self) -> None:
        link = await connected()
        link.client.send(b"once")
        record = link.sent[-1]
        await eventually(lambda: link.on_server.data)
        link.server.receive(record)
        link.server.receive(record)
        link.client.send(b"after")
        await eventually(lambda: len(link.on_server.data) > 1)
        assert link.on_server.data == [b"once", b"after"]

    @pytest.mark.parametrize(
        "datagram", [b"", b"\x16" * 1702, b"\x17" * 5000, b"\x15\xfe\xfd", b"\x17\xfe\xfd"]
    )
    async def test_malformed_datagrams_change_nothing(self, datagram: bytes) -> None:
        link = await connected()
        link.server.receive(datagram)
        link.client.send(b"after")
        await eventually(lambda: link.on_server.data == [b"after"])

    async def test_damaged_records_change_nothing(self) -> None:
        link = await connected()
        link.client.send(b"damaged")
        record = link.sent[-1]
        for position in range(0, len(record), 3):
            damaged = bytearray(record)
            damaged[position] ^= 0x41
            link.server.receive(bytes(damaged))
        await eventually(lambda: b"damaged" in link.on_server.data)
        assert link.on_server.data == [b"damaged"]
        assert link.server.state is DtlsState.CONNECTED

    async def test_a_hello_in_mid_connection_changes_nothing(self) -> None:
        link = await connected()
        link.server.receive(link.sent[0])
        link.client.send(b"after")
        await eventually(lambda: link.on_server.data == [b"after"])

    async def test_nothing_is_taken_after_the_end(self) -> None:
        link = await connected()
        link.server.close()
        link.server.receive(link.sent[0])
        assert link.server.discarded == 1


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_datagrams_leave_a_state(received: list[bytes]) -> None:
    async def feed() -> None:
        transport = DtlsTransport(SERVER_CERTIFICATE, DtlsRole.SERVER, lambda _: None, Recorder())
        transport.start(CLIENT_CERTIFICATE.fingerprints)
        for datagram in received:
            transport.receive(b"\x16\xfe\xfd" + datagram)
            transport.receive(datagram)
        assert transport.state in (DtlsState.CONNECTING, DtlsState.FAILED)
        transport.close()

    asyncio.run(feed())


@given(st.lists(st.integers(0, MTU - 13), max_size=20))
def test_records_are_never_cut(sizes: list[int]) -> None:
    records = [bytes(11) + size.to_bytes(2, "big") + bytes(size) for size in sizes]
    result = datagrams(b"".join(records))
    assert b"".join(result) == b"".join(records)
    assert all(len(datagram) <= MTU for datagram in result)


class AiortcPeer:
    """aiortc's DTLS on a wire to ours; it needs only these three of its transport."""

    def __init__(self, role: DtlsRole) -> None:
        self.role = "controlling"
        self.received: asyncio.Queue[bytes] = asyncio.Queue()
        self.certificate = RTCCertificate.generateCertificate()
        self.transport = RTCDtlsTransport(self, [self.certificate])  # type: ignore[arg-type]
        self.transport._set_role("client" if role is DtlsRole.SERVER else "server")
        self.listener = Recorder()
        self.ours = DtlsTransport(SERVER_CERTIFICATE, role, self.received.put_nowait, self.listener)

    async def _recv(self) -> bytes:
        return await self.received.get()

    async def _send(self, data: bytes) -> None:
        self.ours.receive(data)

    async def connect(self) -> None:
        self.ours.start([Fingerprint(f.algorithm, f.value) for f in self.certificate.getFingerprints()])
        fingerprints = [RTCDtlsFingerprint(f.algorithm, f.value) for f in SERVER_CERTIFICATE.fingerprints]
        await self.transport.start(RTCDtlsParameters(fingerprints=fingerprints))
        assert self.transport.state == "connected"
        await eventually(lambda: self.ours.state is DtlsState.CONNECTED)


@pytest.fixture(params=[DtlsRole.SERVER, DtlsRole.CLIENT], ids=lambda role: f"we are the {role.value}")
async def aiortc_peer(request: pytest.FixtureRequest) -> AsyncIterator[AiortcPeer]:
    peer = AiortcPeer(request.param)
    await peer.connect()
    yield peer
    await peer.transport.stop()
    peer.ours.close()


class TestWithAiortc:
    async def test_media_passes_both_ways(self, aiortc_peer: AiortcPeer) -> None:
        ours, theirs = aiortc_peer.ours.srtp, aiortc_peer.transport
        assert ours is not None
        assert theirs._rx_srtp.unprotect(ours.protect(rtp(1))) == rtp(1)
        assert ours.unprotect(theirs._tx_srtp.protect(rtp(1))) == rtp(1)

    async def test_data_passes(self, aiortc_peer: AiortcPeer) -> None:
        await aiortc_peer.transport._send_data(b"from aiortc")
        await eventually(lambda: aiortc_peer.listener.data == [b"from aiortc"])

    async def test_its_end_is_ours(self, aiortc_peer: AiortcPeer) -> None:
        await aiortc_peer.transport.stop()
        await eventually(lambda: aiortc_peer.ours.state is DtlsState.CLOSED)
