"""Publishers and viewers against the SFU, over real HTTP and UDP in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bench.targets import parse_target
from bench.webrtc_load.core_server import serving
from bench.webrtc_load.fleets import PublisherFleet, SubscriberFleet
from bench.webrtc_load.plan import RtcPlan, RtcRoom
from bench.webrtc_load.publisher import MediaPlan
from tests.helpers.waiting import eventually


def plan(port: int, subscribers: int = 3, *, has_feedback: bool = True) -> RtcPlan:
    return RtcPlan(
        target=parse_target(f"http://127.0.0.1:{port}", ("http",)),
        rooms=(RtcRoom("one"), RtcRoom("two")),
        media=MediaPlan(bitrate=600_000, packet_bytes=1200),
        viewers=subscribers,
        sample_every=2,
        connects_per_second=100,
        has_feedback=has_feedback,
    )


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving() as bound:
        yield bound


@pytest.mark.parametrize("has_feedback", [True, False])
async def test_what_is_published_reaches_every_viewer(port: int, has_feedback: bool) -> None:
    publishers = PublisherFleet(plan(port))
    viewers = SubscriberFleet(plan(port, has_feedback=has_feedback))
    try:
        await publishers.connect()
        await viewers.connect(startup_seconds=10)
        publishers.begin()
        await viewers.begin()
        await eventually(lambda: viewers.fewest_packets >= 40)
        # Of its own accord: a viewer may count a packet that left just before the publishers' interval.
        await eventually(lambda: min(figures.packets for figures in publishers.finish()) >= 40)
        seen = await viewers.finish()
        assert [figures.error for figures in seen] == [None] * 3
        assert all(figures.lost == 0 and figures.startup_seconds for figures in seen)
        assert [bool(figures.latencies) for figures in seen] == [True, False, True]
        assert all(0 < latency < 5 for figures in seen for latency in figures.latencies)
        assert all(figures.unreadable == 0 for figures in seen)
        sent = publishers.finish()
        assert [figures.error for figures in sent] == [None] * 2
    finally:
        await viewers.close()
        await publishers.close()
