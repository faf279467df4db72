"""What the server's own clock does when something it calls fails."""

from __future__ import annotations

from structlog.testing import capture_logs

from sfu.webrtc_server import FAULT_SECONDS
from tests.sfu.linked_world import World


async def test_a_transport_whose_tick_raises_is_left_alone_for_a_while() -> None:
    world = World()
    bad, good = (await world.connected()).transport, (await world.connected()).transport
    asked: dict[str, list[float]] = {"bad": [], "good": []}

    def fail(now: float) -> None:
        asked["bad"].append(now)
        raise RuntimeError("a bug elsewhere")

    def tick(now: float) -> None:
        asked["good"].append(now)
        good.deadline = 0.0

    bad.tick, good.tick = fail, tick  # type: ignore[method-assign]
    bad.deadline = good.deadline = 0.0
    start = world.clock.now
    with capture_logs() as lines:
        for step in range(100):
            world.clock.now = start + step / 100
            world.server.tick(world.clock.now)
    assert len(asked["good"]) == 100
    assert len(asked["bad"]) == 1 / FAULT_SECONDS
    assert [line["event"] for line in lines] == ["sfu_tick_failed"]


async def test_a_room_whose_tick_raises_is_seldom_written_of() -> None:
    world = World()

    def fail(now: float) -> None:
        raise RuntimeError("a bug elsewhere")

    world.router.tick = fail  # type: ignore[method-assign]
    with capture_logs() as lines:
        for _ in range(50):
            world.server.tick(world.clock.now)
        world.clock.now += 2
        world.server.tick(world.clock.now)
    assert [line["failures"] for line in lines] == [1, 51]
