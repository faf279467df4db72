"""Datagrams of those who are nobody's peer, while a publisher sends and a viewer watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import pytest

from sfu.dtls import DtlsState
from sfu.protocol import stun
from sfu.protocol.ice_lite import IceCredentials
from tests.helpers.waiting import eventually
from tests.sfu.checks import check, error_code
from tests.sfu.hostile_world import World, hostile_world, rtp

SIZES: Final = (1, 7, 8, 12, 13, 20, 100, 1200, 1500, 1600, 1601, 9000, 60_000)
BURST: Final = 16
"""Datagrams between two turns of the loop, so that the kernel's queue is not what overflows."""


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with hostile_world() as running:
        yield running


@pytest.mark.parametrize("filling", [b"\x00", b"\xff", b"\x5a"])
async def test_every_first_byte_of_every_length_is_dropped_unanswered(world: World, filling: bytes) -> None:
    stranger = await world.stranger()
    transports = world.server.statistics().transports
    async with world.playing():
        stranger.send(b"")
        for first in range(256):
            for size in SIZES:
                stranger.send(bytes((first,)) + filling * (size - 1))
            await asyncio.sleep(0)
        await world.carried()
    assert stranger.got == []
    assert world.server.counters.mux.endpoint_errors == 0
    assert world.server.statistics().transports == transports


async def test_media_and_records_without_a_check_reach_nobody(world: World) -> None:
    stranger = await world.stranger()
    counters = world.server.counters.mux
    async with world.playing():
        before = counters.dropped_unbound
        records = world.publisher.sent_records
        genuine = world.publisher.srtp.protect(rtp(1, ssrc=0xBAD))
        for datagram in (*records, genuine):
            stranger.send(datagram)
        await world.carried()
        assert counters.dropped_unbound == before + len(records) + 1
    assert stranger.got == []
    assert world.publisher.dtls.state is DtlsState.CONNECTED


async def test_an_unknown_user_name_is_answered_with_silence(world: World) -> None:
    stranger = await world.stranger()
    counters = world.server.counters.mux
    async with world.playing():
        for number in range(1_000):
            stranger.send(check(IceCredentials(f"nobody{number:04}", "x" * 22)))
            if number % BURST == 0:
                await asyncio.sleep(0)
        await world.carried()
    assert counters.checks_wrong_username == 1_000
    assert stranger.got == []


async def test_a_wrong_password_binds_nothing_and_is_answered_seldom(world: World) -> None:
    stranger = await world.stranger()
    counters = world.server.counters.mux
    forged = check(IceCredentials(world.viewer.credentials.username_fragment, "x" * 22))
    selected = world.viewer.transport.ice.selected
    async with world.playing():
        for number in range(1_000):
            stranger.send(forged)
            if number % BURST == 0:
                await asyncio.sleep(0)
        await world.carried()
    assert world.viewer.transport.ice.selected == selected
    assert not any(address[1:] == stranger.local for address in world.viewer.transport.ice.addresses)
    assert 0 < len(stranger.got) < 50
    assert {error_code(answer) for answer in stranger.got} == {401}
    assert all(len(answer) <= len(forged) for answer in stranger.got), "an answer amplifies"
    assert counters.checks_limited > 500


async def test_damaged_checks_bind_nothing(world: World) -> None:
    stranger = await world.stranger()
    valid = check(world.viewer.credentials, nominate=True)
    async with world.playing():
        for place in range(len(valid)):
            stranger.send(valid[:place] + bytes((valid[place] ^ 0x01,)) + valid[place + 1 :])
            stranger.send(valid[:place])
            if place % BURST == 0:
                await asyncio.sleep(0)
        await world.carried()
    assert not any(address[1:] == stranger.local for address in world.viewer.transport.ice.addresses)
    assert not any(stun.parse(answer).message_class == stun.SUCCESS for answer in stranger.got)


async def test_a_strangers_hello_does_not_take_the_place_of_the_peers(world: World) -> None:
    """The race that ended calls on other servers: whoever says hello first is shaken hands with."""
    peer, stranger = world.peer(), await world.stranger()
    hellos = world.publisher.sent_records[:2]
    async with world.playing():
        stranger.send(hellos[0])
        await peer.reach()
        for _ in range(100):
            for hello in hellos:
                stranger.send(hello)
            await asyncio.sleep(0)
        await world.carried()
        peer.begin_dtls()
        for hello in hellos:
            stranger.send(hello)
        await eventually(lambda: peer.dtls.state is DtlsState.CONNECTED)
    assert stranger.got == []
    peer.close()
