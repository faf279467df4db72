"""The studio in Chromium with a fake camera: going live, being watched, changing things, and the stage."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
import pytest

from tests.e2e.chatting import PASSWORD
from tests.e2e.studio import FIGURES, PROBLEM, STATE, Studio
from tests.e2e.watching import Room, Watcher
from tests.helpers.chromium import Chromium, Page
from tests.helpers.server_process import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OVERFLOW: Final = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SENDERS: Final = "connections.at(-1).getSenders().map(({ track }) => track?.enabled ?? null)"
KEEP_CONNECTIONS: Final = """
    const Real = RTCPeerConnection;
    window.connections = [];
    window.RTCPeerConnection = class extends Real {
        constructor(...options) {
            super(...options);
            connections.push(this);
        }
    };
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    unlimited = {
        "MEDIASERVER_API__AUTHENTICATIONS_PER_WINDOW": "1000",
        "MEDIASERVER_API__ROOMS_PER_USER": "100",
    }
    with ServerProcess(tmp_path_factory.mktemp("studio") / "data", settings=unlimited) as server:
        for name in ("oli", "new"):
            _register(server, name)
        yield server


@pytest.fixture
async def room(server: ServerProcess, request: pytest.FixtureRequest) -> Room:
    """One of oli's."""
    async with aiohttp.ClientSession(f"{server.base_url}/api/v1/") as http:
        async with http.post("auth/login", json={"username": "oli", "password": PASSWORD}) as response:
            token = (await response.json())["data"]["accessToken"]
        headers = {"Authorization": f"Bearer {token}"}
        async with http.post("rooms", json={"title": request.node.name[:60]}, headers=headers) as response:
            made = (await response.json())["data"]
    return Room(server, made["id"], made["streamKey"])


@pytest.fixture
async def studio(room: Room, chromium: Chromium) -> Studio:
    """Signed in, with the camera on, before the broadcast."""
    studio = Studio(room.server, await chromium.open())
    await studio.page.call("Page.addScriptToEvaluateOnNewDocument", source=KEEP_CONNECTIONS)
    await studio.open(f"?room={room.id}")
    await studio.sign_in("oli")
    await studio.page.wait_for(f"document.getElementById('room').value === '{room.id}'")
    await studio.turn_on()
    return studio


async def offers(room: Room, *expected: str) -> None:
    """Wait until the room is offered in these ways; the server hears of its change a moment later."""
    async with asyncio.timeout(20):
        offered: list[Any] = []
        while offered != list(expected):
            _, body = await asyncio.to_thread(room.server.get, f"/live/{room.id}.json")
            offered = [source["type"] for source in json.loads(body)["sources"]]


async def test_goes_live_is_watched_and_ends(room: Room, studio: Studio, chromium: Chromium) -> None:
    assert "Ready" in await studio.page.evaluate("document.getElementById('state').textContent")
    await studio.go_live()
    await studio.page.wait_for(
        f"/b\\/s/.test({FIGURES}) && /per second/.test({FIGURES}) && / ms/.test({FIGURES})"
    )
    await studio.page.wait_for("!document.getElementById('live-badge').hidden")
    assert await studio.watch_url() == room.page_url
    for player in ("whep", "fmp4"):
        watcher = Watcher(await chromium.open())
        await watcher.watch(f"{room.page_url}?player={player}")
        assert watcher.page.problems == []
        await watcher.page.close()
    await studio.end()
    await asyncio.to_thread(room.server.wait_not_live, room.id)
    assert studio.problems() == []


async def test_mutes_changes_the_camera_and_goes_on(room: Room, studio: Studio, chromium: Chromium) -> None:
    page = studio.page
    await studio.go_live()
    watcher = Watcher(await chromium.open())
    await watcher.watch(room.page_url)
    await page.evaluate("document.getElementById('microphone-toggle').click()")
    await page.wait_for(f"{SENDERS}[0] === false && !document.getElementById('muted-flag').hidden")
    await page.evaluate("document.getElementById('microphone-toggle').click()")
    await page.wait_for(f"{SENDERS}[0] === true")
    camera = "document.getElementById('cameras')"
    first = await page.evaluate(f"{camera}.value")
    await page.evaluate(f"{camera}.selectedIndex = {camera}.length - 1")
    await page.evaluate(f"{camera}.dispatchEvent(new Event('change'))")
    track = "connections.at(-1).getSenders()[1].track"
    await page.wait_for(f"![null, undefined, '{first}'].includes({track}?.getSettings().deviceId)")
    await watcher.wait_playing(frames=30)
    await page.evaluate("document.getElementById('camera-toggle').click()")
    await page.wait_for(
        f"{SENDERS}[1] === null && document.getElementById('preview-words').checkVisibility()"
    )
    await page.evaluate("document.getElementById('camera-toggle').click()")
    await page.wait_for(f"{SENDERS}[1] === true")
    await watcher.wait_playing(frames=30)
    assert studio.problems() == []


async def test_shares_the_screen_and_goes_back_to_the_camera(
    room: Room, studio: Studio, chromium: Chromium
) -> None:
    page, sends = studio.page, "connections.at(-1).getSenders()[1].track"
    await studio.go_live()
    watcher = Watcher(await chromium.open())
    await watcher.watch(room.page_url)
    await page.call("Page.bringToFront")
    await page.click("screen-toggle")
    await page.wait_for(f"Boolean({sends}?.getSettings().displaySurface)")
    await page.wait_for("document.getElementById('screen-text').textContent === 'Stop sharing'")
    await watcher.wait_playing(frames=30)
    await page.click("screen-toggle")
    await page.wait_for(f"{sends}?.getSettings().displaySurface === undefined && {sends} !== null")
    await watcher.wait_playing(frames=30)
    assert studio.problems() == []


async def test_comes_back_after_the_server_was_away(studio: Studio) -> None:
    await studio.go_live()
    await asyncio.to_thread(studio.server.stop)
    await studio.page.wait_for(f"{STATE} === 'lost'", 30)
    await asyncio.to_thread(studio.server.start)
    await studio.page.wait_for(f"{STATE} === 'live'", 60)


@pytest.mark.parametrize(
    ("status", "words", "state"),
    [(403, "You may not publish", "idle"), (503, "full", "lost"), (404, "no broadcasts", "idle")],
)
async def test_refusals_are_sentences(studio: Studio, status: int, words: str, state: str) -> None:
    await studio.page.evaluate(
        f"""(() => {{
            const real = fetch;
            window.fetch = (url, ...more) =>
                String(url).includes('/whip/')
                    ? Promise.resolve(new Response('', {{ status: {status} }}))
                    : real(url, ...more);
        }})()"""
    )
    await studio.page.evaluate("document.getElementById('go-live').click()")
    await studio.page.wait_for(f"{PROBLEM}.includes('{words}') && {STATE} === '{state}'")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("NotAllowedError", "Allow it"),
        ("NotFoundError", "Plug one in"),
        ("NotReadableError", "another program"),
    ],
)
async def test_who_has_no_camera_is_told_what_to_do(
    server: ServerProcess, chromium: Chromium, error: str, words: str
) -> None:
    studio = Studio(server, await chromium.open())
    deny = (
        f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('no', '{error}'); }};"
    )
    await studio.page.call("Page.addScriptToEvaluateOnNewDocument", source=deny)
    await studio.open()
    await studio.page.evaluate("document.getElementById('start-sources').click()")
    await studio.page.wait_for(f"{PROBLEM}.includes('{words}')")
    assert await studio.page.evaluate("document.getElementById('problem-again').checkVisibility()")


async def test_real_time_is_switched_off_and_on(room: Room, studio: Studio) -> None:
    page, switch = studio.page, "document.getElementById('low-latency')"
    await page.wait_for(f"{switch}.checkVisibility() && {switch}.checked")
    await page.evaluate(f"{switch}.click()")
    await page.wait_for(f"!{switch}.checked && !{switch}.disabled")
    await offers(room, "fmp4", "hls")
    await page.evaluate("window.isOld = true; location.reload()")
    await page.wait_for(f"!window.isOld && {switch}?.checkVisibility() && !{switch}.checked")
    await page.evaluate(f"{switch}.click()")
    await page.wait_for(f"{switch}.checked && !{switch}.disabled")
    await offers(room, "whep", "fmp4", "hls")


async def test_a_switch_that_the_server_refuses_goes_back(studio: Studio) -> None:
    page, switch = studio.page, "document.getElementById('low-latency')"
    await page.evaluate(
        """(() => {
            const real = fetch;
            const answer = () => new Response('{"error": "Not today."}', { status: 503 });
            window.fetch = (url, options) =>
                options?.method === 'PATCH' ? Promise.resolve(answer()) : real(url, options);
        })()"""
    )
    await page.evaluate(f"{switch}.click()")
    await page.wait_for("document.getElementById('room-note').textContent === 'Not today.'")
    assert await page.evaluate(f"{switch}.checked && !{switch}.disabled")


async def test_somebody_new_makes_a_room(server: ServerProcess, chromium: Chromium) -> None:
    studio = Studio(server, await chromium.open())
    await studio.open()
    assert await studio.page.evaluate("document.getElementById('go-live').disabled")
    await studio.sign_in("new")
    await studio.page.evaluate("document.getElementById('new-room-title').focus()")
    await studio.page.call("Input.insertText", text="My first room")
    await studio.page.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", text="\r")
    await studio.page.wait_for("document.getElementById('room').selectedOptions[0]?.text === 'My first room'")
    await studio.turn_on()
    await studio.go_live()


async def test_viewers_come_on_stage(room: Room, studio: Studio, chromium: Chromium) -> None:
    await studio.go_live()
    viewer = await raise_hand(room, studio, chromium)
    await studio.press_in_stage("Invite")
    await viewer.wait_for("document.getElementById('invitation').open")
    await viewer.evaluate("document.getElementById('invitation-both').click()")
    await viewer.wait_for("document.getElementById('seat').checkVisibility()")
    face = "document.querySelector('#stage-faces video')"
    await studio.page.wait_for(f"{face}?.videoWidth > 0 && {face}.currentTime > 0")
    await studio.press_in_stage("Mute")
    await viewer.wait_for("document.getElementById('seat-mute').disabled")
    await studio.press_in_stage("Let speak")
    await viewer.wait_for("!document.getElementById('seat-mute').disabled")
    await studio.press_in_stage("To the audience")
    await viewer.wait_for("!document.getElementById('seat').checkVisibility()")
    nobody = "!document.querySelector('#stage-faces li, #stage-people li')"
    await studio.page.wait_for(nobody)
    assert viewer.problems == []
    assert studio.problems() == []


async def test_whoever_is_removed_is_told(room: Room, studio: Studio, chromium: Chromium) -> None:
    await studio.go_live()
    viewer = await raise_hand(room, studio, chromium)
    await studio.press_in_stage("Remove")
    sheet = "[...document.querySelectorAll('#chat-sheet-body button')]"
    await studio.page.wait_for(f"{sheet}.length === 2")
    await studio.page.evaluate(f"{sheet}[0].click()")
    await studio.page.wait_for("!document.querySelector('#stage-people li')")
    await viewer.wait_for("document.getElementById('hand').getAttribute('aria-pressed') === 'false'")
    assert await viewer.evaluate("document.getElementById('hand-note').textContent")


async def raise_hand(room: Room, studio: Studio, chromium: Chromium) -> Page:
    """Somebody on the watch page, whose hand the host sees."""
    viewer = await chromium.open(room.page_url, as_somebody_else=True)
    await viewer.wait_for("document.getElementById('hand').checkVisibility()")
    await viewer.evaluate("document.getElementById('hand').click()")
    await studio.page.wait_for("document.querySelectorAll('#stage-people .is-raised').length === 1")
    return viewer


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844), (320, 568)])
async def test_fits(studio: Studio, width: int, height: int) -> None:
    await studio.page.resize(width, height, is_phone=width < 600)
    await studio.go_live()
    assert await studio.page.evaluate(OVERFLOW) <= 0
    small = """[...document.querySelectorAll('main button, main select')]
        .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 40)
        .map(({ id }) => id)"""
    assert await studio.page.evaluate(small) == []


async def test_the_keyboard_reaches_everything(studio: Studio) -> None:
    """In the order in which it stands, with nothing that cannot be seen."""
    await studio.page.evaluate("document.activeElement.blur()")
    reached: list[str] = []
    for _ in range(20):
        await studio.page.press("Tab")
        reached.append(str(await studio.page.evaluate("document.activeElement.id")))
    expected = ["microphone-toggle", "camera-toggle", "screen-toggle", "go-live", "room", "watch-link"]
    expected += ["copy-link", "low-latency", "cameras", "microphones", "quality"]
    assert [name for name in reached if name in expected][: len(expected)] == expected


def _register(server: ServerProcess, name: str) -> None:
    body = {
        "email": f"{name}@example.com",
        "username": name,
        "password": PASSWORD,
        "acceptTerms": True,
    }
    url = f"{server.base_url}/api/v1/auth/register"
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=30).close()
