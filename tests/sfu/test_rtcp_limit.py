"""How much RTCP of one peer is read."""

from __future__ import annotations

import pytest

from sfu.protocol import rtcp
from sfu.rtcp_limit import MAX_EXPANDED_PER_SECOND, RtcpLimit
from tests.sfu.linked_world import World, encoding, packet, video, vp8

SHORT_FEEDBACK = rtcp.TransportFeedback(
    1, 2, 0, [(number, None) for number in range(rtcp.MAX_STATUSES)]
).serialize()
NACK = rtcp.Nack(1, 2, tuple(range(1000))).serialize()


@pytest.mark.parametrize(
    ("event", "cost"),
    [
        (rtcp.Nack(1, 2, (5,)), 1),
        (rtcp.Nack(1, 2, tuple(range(1000))), 1000),
        (rtcp.Nack(1, 2, tuple(range(0, 1000, 3))), 334),
        (rtcp.TransportFeedback(1, 2, 0, [(number, None) for number in range(2048)]), 2048),
        (rtcp.FullIntraRequest(1, tuple((number, 0) for number in range(100))), 100),
        (rtcp.PictureLossIndication(1, 2), 1),
        (rtcp.ReceiverReport(1), 1),
    ],
)
def test_the_cost_is_known_before_anything_is_expanded(event: rtcp.Event, cost: int) -> None:
    (found,) = rtcp.split(event.serialize())
    assert rtcp.cost(found) == cost


@pytest.mark.parametrize("kind", [rtcp.NACK, rtcp.TRANSPORT_FEEDBACK])
@pytest.mark.parametrize("size", [0, 4, 8])
def test_what_is_too_short_costs_something_and_raises_nothing(kind: int, size: int) -> None:
    assert rtcp.cost((rtcp.RTP_FEEDBACK, kind, bytes(size))) == 1


def test_feedback_is_read_if_it_was_asked_for() -> None:
    limit = RtcpLimit()
    compound = SHORT_FEEDBACK + rtcp.pli(1, 2)
    assert limit.read(compound, is_measured=False) == [rtcp.PictureLossIndication(1, 2)]
    assert [type(event) for event in limit.read(compound, is_measured=True)] == [
        rtcp.TransportFeedback,
        rtcp.PictureLossIndication,
    ]
    assert limit.dropped == 0


@pytest.mark.parametrize(("part", "each"), [(SHORT_FEEDBACK, rtcp.MAX_STATUSES), (NACK, 1000)])
def test_what_expands_has_a_budget_for_each_second(part: bytes, each: int) -> None:
    limit = RtcpLimit()
    admitted = MAX_EXPANDED_PER_SECOND // each
    for now in (5.0, 6.0):
        dropped = limit.dropped
        events = []
        for _ in range(20):
            assert limit.admits(0, now)
            events += limit.read(part, is_measured=True)
        assert len(events) == admitted
        assert limit.dropped - dropped == 20 - admitted


async def test_a_viewer_cannot_make_the_server_read_feedback_nobody_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    publisher = await world.connected()
    producer = publisher.transport.produce("video", video(encoding(1000)))
    publisher.send_rtp(packet(1, payload=vp8(True)))
    viewer = await world.connected()
    consumer = viewer.transport.consume(producer.id, world.router.rtp_capabilities, paused=False)
    read: list[int] = []
    monkeypatch.setattr(rtcp.TransportFeedback, "read", lambda *arguments: read.append(1))
    statuses = [(number, None) for number in range(rtcp.MAX_STATUSES)]
    counters = world.server.counters.media
    for _ in range(30):
        viewer.send_rtcp(rtcp.TransportFeedback(1, 2, 0, statuses))
        viewer.send_rtcp(rtcp.Nack(1, consumer.ssrc, tuple(range(1000))))
    assert not read
    assert 30 > counters.rtcp_limited >= 30 - MAX_EXPANDED_PER_SECOND // 1000
