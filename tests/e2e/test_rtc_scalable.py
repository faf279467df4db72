"""One stream with layers inside (VP9, AV1) from one Chromium page to another, which chooses among them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Final

import pytest

from tests.e2e import test_rtc_rooms as rooms
from tests.helpers.chromium import Chromium, Page
from tests.sfu.rtc_world import RtcWorld

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

bundle, world = rooms.bundle, rooms.world
WAIT_SECONDS: Final = 60.0
PICTURES: Final = 20
THREE: Final = (960, 540)
TWO: Final = (480, 270)
"""Chromium leaves layers out whose longer side is below 240 pixels; these have room for so many."""


@pytest.fixture
async def browser() -> AsyncIterator[Chromium]:
    async with await Chromium.start(*rooms.FAKE_DEVICES) as chromium:
        yield chromium


class Pair:
    """A page that sends pictures of ``layers`` frames, and one that gets some of them."""

    def __init__(self, sender: Page, receiver: Page, layers: int, height: int) -> None:
        self.sender = sender
        self.receiver = receiver
        self.last = layers - 1
        self._layers = layers
        self._height = height

    async def prefer(self, spatial: int, temporal: int) -> None:
        consumer = "[...room.consumers.values()][0].id"
        layers = f"spatialLayer: {spatial}, temporalLayer: {temporal}"
        await self.receiver.evaluate(
            f"room.request('setConsumerPreferredLayers', {{consumerId: {consumer}, {layers}}})"
        )

    async def shows(self, spatial: int) -> None:
        """Wait for pictures of this layer, and that they move."""
        height = self._height / 2 ** (self.last - spatial)
        await rooms.until(self.receiver, f"Math.abs(all[0].frameHeight - {height}) <= 1", WAIT_SECONDS)
        decoded = await self._decoded() + PICTURES
        await rooms.until(self.receiver, f"all[0].framesDecoded >= {decoded}", WAIT_SECONDS)

    async def share_gets(self, enough: Callable[[float], bool]) -> None:
        """Wait until this share of the pictures that are sent is decoded."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not enough(await self._share()):
                pass

    async def _share(self) -> float:
        sent = "room.outbound().then((figures) => figures.framesSent)"
        before, decoded = await self.sender.evaluate(sent), await self._decoded()
        due = before + PICTURES * self._layers
        await self.sender.wait_for(f"{sent}.then((frames) => frames >= {due})", WAIT_SECONDS)
        after = await self.sender.evaluate(sent)
        return (await self._decoded() - decoded) * self._layers / (after - before)

    async def _decoded(self) -> int:
        return int((await rooms.figures(self.receiver))[0]["framesDecoded"])


async def pair(world: RtcWorld, browser: Chromium, mime_type: str, mode: str, size: tuple[int, int]) -> Pair:
    """One who sends in this mode to another; Chromium must really do it."""
    camera = {"width": size[0], "height": size[1], "frameRate": 10, "maxBitrate": 1_500_000}
    scalable = json.dumps({"mimeType": mime_type, "scalabilityMode": mode, **camera})
    sender = await rooms.enter(world, browser, "ana", f"{{scalable: {scalable}}}")
    receiver = await rooms.enter(world, browser, "leo", "{sends: false}")
    await rooms.until(receiver, "all.length === 1 && all[0].framesDecoded > 0", WAIT_SECONDS)
    assert await sender.evaluate("room.outbound().then((figures) => figures.scalabilityMode)") == mode
    return Pair(sender, receiver, int(mode[1]), size[1])


@pytest.mark.parametrize(
    ("mime_type", "mode", "size"), [("video/VP9", "L3T3_KEY", THREE), ("video/AV1", "L2T3_KEY", TWO)]
)
async def test_pictures_get_smaller_and_larger(
    world: RtcWorld, browser: Chromium, mime_type: str, mode: str, size: tuple[int, int]
) -> None:
    playing = await pair(world, browser, mime_type, mode, size)

    for spatial in (playing.last, 0, playing.last, 1):
        await playing.prefer(spatial, 2)
        await playing.shows(spatial)
    assert playing.sender.problems == playing.receiver.problems == []


@pytest.mark.parametrize(
    ("mime_type", "mode", "size"), [("video/VP9", "L2T3_KEY", TWO), ("video/AV1", "L1T3", TWO)]
)
async def test_frame_rates_fall_and_rise(
    world: RtcWorld, browser: Chromium, mime_type: str, mode: str, size: tuple[int, int]
) -> None:
    playing = await pair(world, browser, mime_type, mode, size)

    await playing.prefer(playing.last, 0)
    await playing.share_gets(lambda share: 0.1 < share < 0.4)
    await playing.prefer(playing.last, 2)
    await playing.share_gets(lambda share: share > 0.7)
    await playing.shows(playing.last)
