"""Viewers who acknowledge nothing: no reports, no arrivals, no losses. What is kept for them is bounded."""

from __future__ import annotations

import gc
from array import array
from collections import deque
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final

from sfu.protocol import rtp
from sfu.protocol.congestion.ledger import MAX_IN_FLIGHT, MAX_LATE, SentPackets
from sfu.protocol.congestion.pacer import MAX_PACKETS
from sfu.protocol.retransmission import VIDEO_PACKETS
from sfu.transport import TransportState
from tests.sfu.linked_world import Peer, World
from tests.sfu.test_layers import Feedback, Watch

CONSENT_SECONDS: Final = 5.0
SECONDS_AFTER: Final = 20.0
SLACK: Final = 1.1
"""Rates and queues go up and down a little."""
CONTAINERS: Final = (list, dict, set, deque, array, bytearray)
NO_PARTS: Final = (type, ModuleType, FunctionType, BuiltinFunctionType)
"""They lead to all that there is."""


async def test_what_is_kept_for_who_acknowledges_nothing_stops_growing() -> None:
    world = World()
    sender, silent, good = [await world.connected(f"192.0.2.{host}") for host in (1, 2, 3)]
    watch = Watch(world, sender, silent)
    watch.feedback = None
    beside = good.transport.consume(watch.camera.producer.id, world.router.rtp_capabilities, paused=False)
    feedback = Feedback(good)

    def run(seconds: float) -> None:
        def each(now: float) -> None:
            watch.camera.frame(now)
            feedback.tick(now, beside)

        for _ in range(int(seconds / CONSENT_SECONDS)):
            world.run(CONSENT_SECONDS, each)
            for peer in (sender, silent, good):
                peer.check()

    while len(ledger(silent)) < MAX_IN_FLIGHT:
        run(CONSENT_SECONDS)
    before, sent = kept(silent), len(silent.packets)
    run(SECONDS_AFTER)

    assert len(silent.packets) > sent + MAX_IN_FLIGHT / 4, "it goes on getting pictures"
    assert kept(silent) <= before * SLACK
    assert_bounds(silent, watch)
    assert silent.transport.state is TransportState.CONNECTED
    numbers = [rtp.parse(data).sequence_number for data in good.of_ssrc(beside.ssrc)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "who watches beside misses nothing"


def ledger(peer: Peer) -> SentPackets:
    """What was sent to the peer and is not acknowledged."""
    bandwidth = peer.transport._sending.bandwidth
    assert bandwidth is not None
    return bandwidth.controller.ledger


def assert_bounds(peer: Peer, watch: Watch) -> None:
    bandwidth = peer.transport._sending.bandwidth
    assert bandwidth is not None and watch.consumer.repair is not None
    history = watch.consumer.repair.history
    assert len(ledger(peer)) <= MAX_IN_FLIGHT
    assert len(ledger(peer)._late) <= MAX_LATE
    assert len(bandwidth.controller.pacer) <= MAX_PACKETS
    assert history._capacity <= VIDEO_PACKETS


def kept(peer: Peer) -> int:
    """Count what all containers hold that belong to the sending side alone."""
    world, sending = peer.world, peer.transport._sending
    shared = (world, world.server, world.server.plane, world.router, *world.peers.values())
    producers = [consumer.producer for consumer in peer.transport.consumers]
    seen = {id(one) for one in (*shared, *producers, peer.transport)}
    waiting: list[Any] = [sending]
    total = 0
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, NO_PARTS):
            continue
        seen.add(id(one))
        total += len(one) if isinstance(one, CONTAINERS) else 0
        waiting += gc.get_referents(one)
    return total
