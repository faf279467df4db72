"""Chromium pages in one room, by npm's mediasoup-client and the code of docs/rtc-protocol.md."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from tests.e2e.narrow_link import NarrowLink
from tests.e2e.rtc_bundle import build_bundle
from tests.helpers.chromium import SOUND_WITHOUT_GESTURE, Chromium, Page
from tests.sfu.rooms_world import ROOM
from tests.sfu.rtc_world import RealRouters, RtcWorld, real_routers, rtc_world

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FAKE_DEVICES = (
    SOUND_WITHOUT_GESTURE,
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
)
PLAY_SECONDS = 30.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return build_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
async def world(bundle: bytes) -> AsyncIterator[RtcWorld]:
    application = web.Application()
    page = (
        b"<!doctype html><title>room</title><link rel=icon href=data:,><body><script src=/room.js></script>"
    )

    async def serve(request: web.Request) -> web.Response:
        is_script = request.path == "/room.js"
        kind = "text/javascript" if is_script else "text/html"
        return web.Response(body=bundle if is_script else page, content_type=kind)

    for path in ("/", "/room.js"):
        application.router.add_get(path, serve)
    async with real_routers() as routers, rtc_world(routers=routers, application=application) as world:
        yield world


@pytest.fixture
async def browser() -> AsyncIterator[Chromium]:
    async with await Chromium.start(*FAKE_DEVICES) as chromium:
        yield chromium


async def enter(world: RtcWorld, browser: Chromium, token: str, options: str = "{}") -> Page:
    page = await browser.open(str(world.server.make_url("/")))
    await page.evaluate(f"join('{ROOM}', '{token}', {options})")
    return page


async def figures(page: Page, kind: str = "video") -> list[dict[str, Any]]:
    found = await page.evaluate("room.figures()")
    return [one for one in found.values() if one["kind"] == kind]


async def until(page: Page, condition: str, seconds: float = PLAY_SECONDS) -> None:
    """Wait until `condition` holds of the figures of every consumer, called `all`."""
    await page.wait_for(
        f"room.figures().then((found) => {{ const all = Object.values(found); return {condition}; }})",
        seconds,
    )


def playing(consumers: int, frames: int) -> str:
    videos = "all.filter((one) => one.kind === 'video')"
    return (
        f"all.length === {consumers} && {videos}.every((one) => one.framesDecoded > {frames})"
        " && all.every((one) => one.packetsReceived > 20)"
    )


async def test_two_pages_see_and_hear_each_other(world: RtcWorld, browser: Chromium) -> None:
    ana = await enter(world, browser, "ana")
    sam = await enter(world, browser, "sam")

    for page in (ana, sam):
        await until(page, playing(2, 10))
    before = [(await figures(page))[0]["framesDecoded"] for page in (ana, sam)]
    for page, frames in zip((ana, sam), before, strict=True):
        await until(page, playing(2, frames + 20))
        await until(page, "all.some((one) => one.audioEnergy > 0)")
        assert page.problems == []


async def test_who_speaks_is_told(world: RtcWorld, browser: Chromium) -> None:
    ana = await enter(world, browser, "ana")
    leo = await enter(world, browser, "leo", "{sends: false}")

    told = "room.told.filter((one) => one.method === '{}' && {}).length"
    speaker = "one.data.participantId === " + repr(await ana.evaluate("room.joined.participantId"))
    known = await leo.evaluate("room.joined.activeSpeaker?.participantId")
    if known != await ana.evaluate("room.joined.participantId"):
        await leo.wait_for(told.format("activeSpeaker", speaker))
    await leo.wait_for(told.format("volumes", "one.data.volumes.length"))


async def test_layers_switch_under_simulcast(world: RtcWorld, browser: Chromium) -> None:
    await enter(world, browser, "ana", "{simulcast: true}")
    leo = await enter(world, browser, "leo", "{sends: false}")
    widths = "all.filter((one) => one.kind === 'video')[0]?.frameWidth"
    consumer = "[...room.consumers.values()].find((one) => one.kind === 'video').id"

    await until(leo, f"{widths} > 0")
    for layer, width in ((0, 320), (1, 640), (0, 320)):
        await leo.evaluate(
            "room.request('setConsumerPreferredLayers',"
            f" {{consumerId: {consumer}, spatialLayer: {layer}, temporalLayer: 2}})"
        )
        await until(leo, f"{widths} === {width}")
    assert leo.problems == []


async def test_a_throttled_receiver_gets_lower_layers(world: RtcWorld, browser: Chromium) -> None:
    async with NarrowLink(("127.0.0.1", media_port(world))) as link:
        await enter(world, browser, "ana", "{simulcast: true}")
        leo = await enter(world, browser, "leo", f"{{sends: false, port: {link.port}}}")
        width = "all.filter((one) => one.kind === 'video')[0]?.frameWidth"
        await until(leo, f"{width} === 640")
        link.rate = 20_000
        await until(leo, f"{width} === 320")

    told = "room.told.filter((one) => one.method === 'consumerLayersChanged')"
    assert 0 in await leo.evaluate(f"{told}.map((one) => one.data.spatialLayer)")


def media_port(world: RtcWorld) -> int:
    """Where the core listens."""
    assert isinstance(world.routers, RealRouters)
    return world.routers.candidates[0].port


async def test_media_outlives_the_signalling_and_ice_restarts(world: RtcWorld, browser: Chromium) -> None:
    ana = await enter(world, browser, "ana")
    sam = await enter(world, browser, "sam")
    await until(ana, playing(2, 5))
    joined = await sam.evaluate("room.reconnect()")

    assert joined["resumed"] and len(joined["own"]["producers"]) == 2
    frames = (await figures(ana))[0]["framesDecoded"]
    await until(ana, playing(2, frames + 30))
    await until(sam, playing(2, 30))
    assert sam.problems == []


async def test_messages_go_over_data_channels(world: RtcWorld, browser: Chromium) -> None:
    ana = await enter(world, browser, "ana", "{sends: false}")
    sam = await enter(world, browser, "sam", "{sends: false}")
    await sam.evaluate(
        "room.sending.produceData({label: 'cursor'}).then((channel) => { room.channel = channel; })"
    )
    await ana.wait_for("room.listening")
    await sam.wait_for("room.channel.readyState === 'open'")
    await sam.evaluate("room.channel.send('here')")

    await ana.wait_for("room.messages.length")
    assert await ana.evaluate("room.messages") == [["cursor", "here"]]


async def test_a_muted_participant_is_not_heard(world: RtcWorld, browser: Chromium) -> None:
    ana = await enter(world, browser, "ana")
    sam = await enter(world, browser, "sam")
    await until(ana, playing(2, 5))
    identity = await sam.evaluate("room.joined.participantId")
    await ana.evaluate(f"room.request('muteParticipant', {{participantId: '{identity}'}})")
    await sam.wait_for("room.told.some((one) => one.method === 'muted')")
    await ana.wait_for("room.told.some((one) => one.method === 'consumerPaused')")
    heard = (await figures(ana, "audio"))[0]["packetsReceived"]
    frames = (await figures(ana))[0]["framesDecoded"]
    await until(ana, playing(2, frames + 30))

    assert (await figures(ana, "audio"))[0]["packetsReceived"] <= heard + 5
