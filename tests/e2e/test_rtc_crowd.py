"""Four Chromium pages in one room of the real server, by npm's mediasoup-client: a host, two guests whom the
host invites to the stage, and somebody who only watches."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.e2e import test_rtc_rooms as rooms
from tests.e2e.chatting import PASSWORD
from tests.helpers.chromium import Chromium, Page
from tests.helpers.server_process import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.slow]

bundle = rooms.bundle
HOST = "crowdhost"
FRAMES = 20
WAIT_SECONDS = 60.0
SEND = """navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 320, height: 240 } })
    .then((stream) => Promise.all(stream.getTracks().map((track) => room.sending.produce({ track }))))
    .then(() => true)"""
DECODED = (
    "room.figures().then((found) => Object.values(found).filter((one) => one.kind === 'video')"
    ".map((one) => one.framesDecoded))"
)


@pytest.fixture
async def browser() -> AsyncIterator[Chromium]:
    async with await Chromium.start(*rooms.FAKE_DEVICES) as chromium:
        yield chromium


@pytest.fixture
async def hosted(live_server: ServerProcess) -> tuple[str, str]:
    """A room, and what makes its owner the host there."""
    email = f"{HOST}@example.com"
    made = ("create-user", "--username", HOST, "--email", email, "--password", PASSWORD)
    await asyncio.to_thread(live_server.admin, *made)
    async with aiohttp.ClientSession(f"{live_server.base_url}/api/v1/") as http:
        token = (await _post(http, "auth/login", "", username=HOST, password=PASSWORD))["accessToken"]
        room = (await _post(http, "rooms", token, title="crowd"))["id"]
        return room, (await _post(http, f"rooms/{room}/publish-token", token))["token"]


async def _post(http: aiohttp.ClientSession, path: str, token: str, **body: str) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with http.post(path, json=body or None, headers=headers) as response:
        assert response.ok, await response.text()
        data: dict[str, str] = (await response.json())["data"]
        return data


async def test_four_pages_meet(
    live_server: ServerProcess, hosted: tuple[str, str], browser: Chromium, bundle: bytes
) -> None:
    room, token = hosted

    async def enter(arguments: str) -> Page:
        page = await browser.open(f"{live_server.base_url}/studio")
        await page.evaluate(bundle.decode())
        await page.evaluate(f"join('{room}', {arguments})")
        return page

    host = await enter(f"'{token}', {{ simulcast: true }}")
    guests = [await enter("null, { sends: false }") for _ in range(2)]
    viewer = await enter("null, { sends: false }")
    for guest in guests:
        await come_on_stage(host, guest)
    for page, videos in ((host, 2), (guests[0], 2), (guests[1], 2), (viewer, 3)):
        await all_rise(page, videos)
        assert [text for text in page.problems if "401" not in text] == []
    told = "room.told.some((one) => one.method === 'activeSpeaker' && one.data.participantId)"
    await viewer.wait_for(f"room.joined.activeSpeaker?.participantId || {told}")


async def come_on_stage(host: Page, guest: Page) -> None:
    """The hand goes up, the host invites, the guest accepts and sends."""
    identity = await guest.evaluate("room.joined.participantId")
    await guest.evaluate("room.request('raiseHand')")
    raised = f"one.method === 'handRaised' && one.data.participantId === '{identity}'"
    await host.wait_for(f"room.told.some((one) => {raised})")
    await host.evaluate(f"room.request('inviteToStage', {{ participantId: '{identity}' }})")
    await guest.wait_for("room.told.some((one) => one.method === 'invited')")
    await guest.evaluate("room.request('acceptInvitation')")
    await guest.evaluate(SEND)


async def all_rise(page: Page, videos: int) -> None:
    """Every picture of the page moves, and goes on moving."""
    for frames in (1, FRAMES):
        enough = f"all.length === {videos} && all.every((frames) => frames >= {frames})"
        await page.wait_for(f"{DECODED}.then((all) => {enough})", WAIT_SECONDS)
