"""What peers that have keys may do wrong: it costs them their own call at most, and nobody else a packet."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count, islice
from typing import Final

import pytest

from sfu.dtls import DtlsCertificate, DtlsTransport
from sfu.errors import DuplicateStream
from sfu.protocol import rtcp
from sfu.srtp import MAX_INBOUND_STREAMS, SrtpError
from sfu.transport import TransportLimits, TransportState
from tests.helpers.waiting import eventually
from tests.sfu.hostile_world import SSRC, World, hostile_world, opus, rtp

BURST: Final = 16
BAD_SSRC: Final = 0xBAD
SEED: Final = 17


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with hostile_world() as running:
        yield running


async def test_dtls_of_every_kind_in_mid_call_changes_nothing(world: World) -> None:
    bad = await world.connected()
    chance = random.Random(SEED)
    records = bad.sent_records
    async with world.playing():
        for record in records:
            bad.send(record)
            for _ in range(8):
                place = chance.randrange(len(record))
                bad.send(record[:place] + bytes((record[place] ^ 0xFF,)) + record[place + 1 :])
                bad.send(record[:place])
        for first in range(20, 64):
            bad.send(bytes((first,)) + chance.randbytes(chance.randrange(1500)))
            bad.send(struct.pack("!BHHLHH", first, 0xFEFD, 0, 0, first, 0xFFFF) + bytes(200))
        await world.carried()
        bad.send_rtp(rtp(1, BAD_SSRC))
        await eventually(lambda: bad.transport.state is TransportState.CONNECTED)
    assert world.server.counters.mux.endpoint_errors == 0


async def test_a_handshake_that_never_ends_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DtlsTransport.__init__, "__defaults__", (0.3,))  # the seconds it may take
    peer = world.peer()
    transports = world.server.statistics().transports
    async with world.playing():
        await peer.reach()
        peer.begin_dtls()
        peer.dtls.receive = lambda datagram: None  # type: ignore[method-assign]
        await eventually(lambda: peer.transport.state is TransportState.CLOSED)
    assert world.listener.states[-2:] == [TransportState.FAILED, TransportState.CLOSED]
    assert world.server.statistics().transports == transports - 1
    assert peer.transport.id not in world.router.transports
    peer.close()


async def test_another_certificate_than_the_announced_gets_no_media(world: World) -> None:
    peer = world.peer()
    async with world.playing():
        await peer.reach()
        producer_id = next(iter(world.router.producers))
        peer.transport.consume(producer_id, world.router.rtp_capabilities, paused=False)
        peer.begin_dtls(DtlsCertificate.generate())
        await eventually(lambda: peer.transport.state is TransportState.CLOSED)
    assert not [data for data in peer.got if data[0] >= 128]
    peer.close()


async def test_srtp_of_every_length_with_and_without_a_tag(world: World) -> None:
    bad = await world.connected()
    bad.transport.produce("audio", opus(BAD_SSRC))
    async with world.playing():
        for number, size in enumerate((4, 1_200, 1_460, 1_500, 1_540, 1_556, 1_580, 1_700, 2_000)):
            protected = bad.send_rtp(rtp(number, BAD_SSRC, size))
            bad.send(protected + bytes(100))
            bad.send(protected[:-1])
            bad.send(protected)
        for size in range(12, 3_000, 50):
            bad.send(b"\x80\x6f" + bytes(size - 2))
        await world.carried()
    counters = world.server.counters
    assert counters.mux.endpoint_errors == 0
    assert counters.media.received_malformed > 30
    assert bad.transport.state is TransportState.CONNECTED


async def test_malformed_rtp_inside_valid_srtp(world: World) -> None:
    """Extensions and padding that claim more than there is, from somebody whom the viewer watches, too."""
    bad = await world.connected()
    world.watch(bad.transport.produce("audio", opus(BAD_SSRC)))
    chance = random.Random(SEED)
    async with world.playing():
        for number in range(500):
            packet = bytearray(rtp(number, BAD_SSRC, 60))
            packet[0] = 0x80 | chance.randrange(64)
            packet[12:24] = chance.randbytes(12)
            packet[-1] = chance.randrange(256)
            with suppress(SrtpError):  # what libsrtp does not even protect
                bad.send_rtp(bytes(packet))
            if number % BURST == 0:
                await asyncio.sleep(0)
        await world.carried()
    assert world.server.counters.mux.endpoint_errors == 0
    assert world.server.counters.media.flush_errors == 0


async def test_replays_are_dropped(world: World) -> None:
    bad = await world.connected()
    producer = bad.transport.produce("audio", opus(BAD_SSRC))
    world.watch(producer)
    async with world.playing():
        protected = bad.send_rtp(rtp(1, BAD_SSRC))
        for _ in range(500):
            bad.send(protected)
        await world.carried()
    assert bad.transport.received_packets == 1


async def test_a_flood_of_valid_media_takes_nobodys_turn(world: World) -> None:
    bad = await world.connected()
    world.watch(bad.transport.produce("audio", opus(BAD_SSRC)))
    async with world.playing():
        for number in range(5_000):
            bad.send_rtp(rtp(number, BAD_SSRC))
            if number % BURST == 0:
                await asyncio.sleep(0)
        await world.carried()


async def test_invented_streams_are_bounded(world: World) -> None:
    bad = await world.connected()
    async with world.playing():
        for number in range(2 * MAX_INBOUND_STREAMS):
            bad.send_rtp(rtp(1, 0x10_0000 + number))
            if number % BURST == 0:
                await asyncio.sleep(0)
        await world.carried()
    assert world.server.counters.media.received_malformed >= 2 * MAX_INBOUND_STREAMS


async def test_malformed_rtcp_is_counted(world: World) -> None:
    bad = await world.connected()
    bad.transport.produce("audio", opus(BAD_SSRC))
    whole = [
        rtcp.ReceiverReport(BAD_SSRC).serialize(),
        rtcp.nack(BAD_SSRC, SSRC, range(100)),
        rtcp.pli(BAD_SSRC, SSRC),
    ]
    chance = random.Random(SEED)
    async with world.playing():
        for kind in range(192, 224):
            for count in range(32):
                bad.send_rtcp(struct.pack("!BBHL", 0x80 | count, kind, 1, BAD_SSRC) + chance.randbytes(4))
            bad.send_rtcp(struct.pack("!BBHL", 0x81, kind, 0xFFFF, BAD_SSRC))
            await asyncio.sleep(0)
        for packet in whole:
            for size in range(8, len(packet)):
                bad.send_rtcp(packet[:size])
        await world.carried()
    assert world.server.counters.media.rtcp_malformed > 100
    assert world.server.counters.mux.endpoint_errors == 0


async def test_a_flood_of_rtcp_is_cut_off(world: World) -> None:
    bad = await world.connected()
    flood = [rtcp.nack(BAD_SSRC, SSRC, range(0, 2_000, 16)), rtcp.pli(BAD_SSRC, SSRC)]
    counters = world.server.counters.media
    async with world.playing():
        while counters.rtcp_limited < 1_000:
            for number in range(BURST):
                bad.send_rtcp(flood[number % 2])
            await asyncio.sleep(0)
        await world.carried()
    assert world.publisher.transport.state is bad.transport.state is TransportState.CONNECTED


async def test_a_flood_of_media_is_cut_off(world: World) -> None:
    world.server.limits = TransportLimits(ingress_packets=1_000)
    bad = await world.connected()
    bad.transport.produce("audio", opus(BAD_SSRC))
    counters = world.server.counters.media
    numbers = count(1)
    async with world.playing():
        while counters.received_limited < 1_000:
            for number in islice(numbers, BURST):
                bad.send_rtp(rtp(number, BAD_SSRC))
            await asyncio.sleep(0)
        await world.carried()
    assert bad.transport.discarded_packets == counters.received_limited
    assert world.publisher.transport.discarded_packets == 0
    assert bad.transport.state is TransportState.CONNECTED


async def test_streams_that_are_taken_are_refused(world: World) -> None:
    bad = await world.connected()
    async with world.playing():
        bad.transport.produce("audio", opus(SSRC, "a"))  # another transport's numbers are nobody's here
        for parameters in (opus(SSRC, "b"), opus(BAD_SSRC, "a")):
            with pytest.raises(DuplicateStream):
                bad.transport.produce("audio", parameters)


async def test_addresses_change_in_mid_call(world: World) -> None:
    async with world.publishing():
        for peer in (world.viewer, world.publisher):
            before = peer.local
            await peer.reach()
            await world.more(50)
            assert peer.local != before
    assert world.viewer.transport.state is TransportState.CONNECTED
    assert TransportState.DISCONNECTED not in world.listener.states


async def test_who_vanishes_is_forgotten(world: World) -> None:
    """Thirty seconds after the last check; here the clock is told so."""
    async with world.playing():
        pass
    world.publisher.close()
    await world.carried()
    world.server._mux.tick(asyncio.get_running_loop().time() + 20)
    assert world.publisher.transport.state is TransportState.CONNECTED
    world.server._mux.tick(asyncio.get_running_loop().time() + 60)
    totals = world.server.statistics()
    assert (totals.transports, totals.producers, totals.consumers) == (0, 0, 0)
    assert world.listener.closed == 2
    assert len(world.server._mux) == 0
