"""The chat beside the player, in Chromium: reading, writing, moderating, coming back, and a flood."""

import json
from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.chatting import FLOOD_MESSAGES, PASSWORD, chatting, flood
from tests.e2e.conftest import publishing_pattern
from tests.e2e.watching import Room, Watcher
from tests.helpers.chromium import Chromium, Page
from tests.helpers.relay import Relay
from tests.helpers.server_process import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.slow]

UNLIMITED: Final = {
    "MEDIASERVER_CHAT__CONNECTIONS_PER_MINUTE": "1000",
    "MEDIASERVER_CHAT__MESSAGES_PER_WINDOW": "10000",
    "MEDIASERVER_API__AUTHENTICATIONS_PER_WINDOW": "1000",
}
TEXTS: Final = "[...document.querySelectorAll('.chat-words')].map((words) => words.textContent)"
EVENTS: Final = "[...document.querySelectorAll('.chat-event')].map((line) => line.textContent)"
NOTE: Final = "document.getElementById('chat-note').textContent"
IS_CONNECTED: Final = "document.getElementById('side-panel').dataset.state === 'open'"
OVERFLOW: Final = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

SMOOTH_SHARE: Final = 0.9
FLOODS: Final = ("one", "two", "three")
WATCH_VIDEO: Final = """(() => {
    const video = document.getElementById('video');
    window.stalls = [];
    for (const name of ['waiting', 'stalled', 'error']) {
        video.addEventListener(name, () => stalls.push(name));
    }
    window.most = 0;
    window.from = { media: video.currentTime, clock: performance.now() / 1000 };
    const lines = document.getElementById('chat-lines');
    new MutationObserver(() => (most = Math.max(most, lines.childElementCount)))
        .observe(lines, { childList: true });
})()"""
PLAYED_SHARE: Final = """(document.getElementById('video').currentTime - from.media)
    / (performance.now() / 1000 - from.clock)"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One with people, and without the limits that this much testing would meet."""
    with ServerProcess(tmp_path_factory.mktemp("chat") / "data", settings=UNLIMITED) as server:
        for name, role in (("ben", "user"), ("mia", "user"), ("oli", "moderator")):
            _create_user(server, name, role)
        yield server


@pytest.fixture
def room(server: ServerProcess, request: pytest.FixtureRequest) -> Room:
    return Room(server, *server.create_room(request.node.name))


@pytest.fixture
async def page(room: Room, chromium: Chromium) -> Page:
    """The watch page of a room that is not live, by somebody who has not signed in."""
    page = await chromium.open()
    await page.resize(1280, 800)
    await page.go(room.watch_url)
    await page.wait_for(IS_CONNECTED)
    return page


async def test_shows_what_is_said_as_text(room: Room, page: Page) -> None:
    hostile = "<img src=x onerror=alert(1)> https://example.com/a?b=1&c=2. javascript:alert(1)"
    async with chatting(room, "oli") as oli:
        first = await oli.say(hostile)
        await oli.say("A reply", replyTo=first)
    await page.wait_for(f"{TEXTS}.length === 2")
    assert (await page.evaluate(TEXTS))[0] == hostile
    assert await page.evaluate("document.querySelectorAll('#chat-lines img').length") == 0
    links = "[...document.querySelectorAll('.chat-words a')].map((link) => [link.href, link.rel])"
    [[address, relation]] = await page.evaluate(links)
    assert address == "https://example.com/a?b=1&c=2"
    assert "noopener" in relation
    assert "oli: <img" in await page.evaluate("document.querySelector('.chat-quote').textContent")
    assert page.problems == []


async def test_guests_read_and_are_asked_to_sign_in(room: Room, page: Page) -> None:
    async with chatting(room, "ben") as ben:
        await ben.say("Hello")
    await page.wait_for(f"{TEXTS}.length === 1")
    assert not await page.evaluate("document.getElementById('chat-form').checkVisibility()")
    await page.click("chat-invite")
    assert await page.evaluate("document.activeElement.name") == "username"
    await page.press("Escape")
    await page.wait_for("document.getElementById('chat-sheet').hidden")
    assert await page.evaluate("document.activeElement.id") == "chat-invite"


async def test_somebody_signs_in_writes_and_signs_out(room: Room, page: Page) -> None:
    await _sign_in(page, "mia", "a wrong password")
    await page.wait_for("document.getElementById('chat-sheet-note').textContent.includes('wrong')")
    await _sign_in(page, "mia")
    await _type(page, "Hello everybody")
    await page.press("Enter")
    await page.wait_for(f"{TEXTS}.includes('Hello everybody')")
    assert await page.evaluate("document.getElementById('chat-text').value") == ""
    await page.click("chat-account")
    await page.evaluate("document.querySelector('#chat-sheet-body .button').click()")
    await page.wait_for("document.getElementById('chat-invite').checkVisibility()")
    assert await page.evaluate(TEXTS) == ["Hello everybody"]


async def test_signed_in_stays_so_after_a_reload(room: Room, page: Page) -> None:
    await _sign_in(page, "mia")
    await page.go(room.watch_url)
    await page.wait_for("document.getElementById('chat-form').checkVisibility()")
    assert await page.evaluate("document.getElementById('chat-account').textContent") == "mia"
    assert not [problem for problem in page.problems if "session" in problem]


async def test_a_new_account_can_write_at_once(room: Room, page: Page) -> None:
    await page.click("chat-account")
    await page.evaluate("document.querySelector('#chat-sheet-body > .chat-link').click()")
    values = {"email": "new@example.com", "username": "newcomer", "password": PASSWORD}
    await _fill(page, values, "form.elements.terms.checked = true;")
    await page.wait_for("document.getElementById('chat-form').checkVisibility()")
    await _type(page, "I am new")
    await page.press("Enter")
    await page.wait_for(f"{TEXTS}.includes('I am new')")


async def test_refusals_are_sentences_and_give_the_text_back(room: Room, page: Page) -> None:
    async with chatting(room, "oli") as oli:
        await oli.call("PUT", f"/rooms/{room.id}/chat-settings", {"slowModeSec": 30, "links": "refuse"})
    await page.wait_for("document.getElementById('chat-modes').textContent.includes('slow mode 30 s')")
    await _sign_in(page, "mia")
    await _type(page, "See https://example.com")
    await page.press("Enter")
    await page.wait_for(f"{NOTE} === 'Links are not allowed in this chat.'")
    assert await page.evaluate("document.getElementById('chat-text').value") == "See https://example.com"
    await _type(page, "Then without")
    await page.press("Enter")
    await page.wait_for(f"{TEXTS}.includes('Then without')")
    await page.wait_for("/^\\d+ s$/.test(document.getElementById('chat-send').textContent)")
    assert await page.evaluate("document.getElementById('chat-send').disabled")
    assert 0 < int((await page.evaluate("document.getElementById('chat-send').textContent")).split()[0]) <= 30


async def test_characters_are_counted(page: Page) -> None:
    await _sign_in(page, "mia")
    await _type(page, "🍞" * 500)
    assert await page.evaluate("document.getElementById('chat-counter').textContent") == "500 / 500"
    assert not await page.evaluate("document.getElementById('chat-send').disabled")
    await _type(page, "🍞" * 501)
    assert await page.evaluate("document.getElementById('chat-send').disabled")


async def test_mentions_of_oneself_stand_out(room: Room, page: Page) -> None:
    await _sign_in(page, "mia")
    async with chatting(room, "ben") as ben:
        await ben.say("Hello @mia")
        await ben.say("Hello @oli")
    await page.wait_for(f"{TEXTS}.length === 2")
    marked = "[...document.querySelectorAll('.is-for-me .chat-words')].map((words) => words.textContent)"
    assert await page.evaluate(marked) == ["Hello @mia"]


async def test_moderators_delete_pin_and_time_out(room: Room, page: Page) -> None:
    async with chatting(room, "ben") as ben:
        await ben.say("Keep this")
        await ben.say("Buy this")
        await _sign_in(page, "oli")
        await _choose(page, "Keep this", "Pin")
        await page.wait_for("document.getElementById('chat-pinned-text').textContent === 'Keep this'")
        await _choose(page, "Buy this", "Delete message")
        await page.wait_for(f"{TEXTS}.join() === 'Keep this'")
        await _choose(page, "Keep this", "10 min")
        await page.wait_for(f"{EVENTS}.includes('ben was timed out for 10 min')")
        with pytest.raises(AssertionError, match="timed_out"):
            await ben.say("And I?")
        await _choose(page, "Keep this", "Lift ban or timeout")
        await page.wait_for(f"{EVENTS}.includes('ben may write again')")
        await ben.say("Thank you")
    assert page.problems == []


async def test_everybody_deletes_what_is_their_own(room: Room, page: Page) -> None:
    async with chatting(room, "ben") as ben, chatting(room, "mia") as mia:
        await mia.say("A slip of mine")
        await ben.say("No slip")
    await _sign_in(page, "mia")
    await _choose(page, "A slip of mine", "Delete message")
    await page.wait_for(f"{TEXTS}.join() === 'No slip'")
    assert page.problems == []


async def test_moderators_change_settings_and_clear(room: Room, page: Page) -> None:
    async with chatting(room, "ben") as ben:
        await ben.say("Old")
    await _sign_in(page, "oli")
    await page.click("chat-moderate")
    await _press_in_sheet(page, "Chat settings")
    await page.wait_for("document.querySelector('#chat-sheet-body form') !== null")
    await page.evaluate("document.querySelector('#chat-sheet-body select').value = '10'")
    await page.evaluate("document.querySelector('#chat-sheet-body form').requestSubmit()")
    await page.wait_for("document.getElementById('chat-modes').textContent === 'slow mode 10 s'")
    await page.click("chat-moderate")
    await _press_in_sheet(page, "Clear chat")
    await page.wait_for("document.getElementById('chat-sheet-title').textContent === 'Clear the chat?'")
    await _press_in_sheet(page, "Clear chat")
    await page.wait_for(f"{TEXTS}.length === 0 && {EVENTS}.includes('The chat was cleared')")


async def test_held_messages_are_decided_in_the_list(room: Room, page: Page) -> None:
    await _sign_in(page, "oli")
    async with chatting(room, "oli") as oli, chatting(room, "ben") as ben:
        await oli.call("PUT", f"/rooms/{room.id}/chat-settings", {"links": "hold"})
        await ben.say("Look at https://example.com")
    await page.wait_for("document.querySelector('.is-held button') !== null")
    await page.evaluate("document.querySelector('.is-held button').click()")
    await page.wait_for(f"{TEXTS}.includes('Look at https://example.com')")


async def test_no_moderating_for_others(room: Room, page: Page) -> None:
    async with chatting(room, "ben") as ben:
        await ben.say("Hello")
    await _sign_in(page, "mia")
    await page.wait_for(f"{TEXTS}.length === 1")
    await page.evaluate("document.querySelector('.chat-line [data-act=menu]').click()")
    assert await page.evaluate(
        "[...document.querySelectorAll('#chat-sheet-body button')].map((button) => button.textContent)"
    ) == ["Reply", "Mention @ben"]
    assert not await page.evaluate("document.getElementById('chat-moderate').checkVisibility()")


async def test_reactions_float_up_and_go(room: Room, page: Page) -> None:
    await _sign_in(page, "mia")
    await page.evaluate("document.querySelector('#chat-emoji button').click()")
    await page.wait_for("document.querySelectorAll('.chat-float').length === 1")
    await page.wait_for("document.querySelectorAll('.chat-float').length === 0")


async def test_what_was_missed_comes_once(room: Room, page: Page) -> None:
    async with Relay(room.server.http_port) as relay, chatting(room, "ben") as ben:
        await page.go(f"http://127.0.0.1:{relay.port}/watch/{room.id}")
        await page.wait_for(IS_CONNECTED)
        await ben.say("before")
        await page.wait_for(f"{TEXTS}.length === 1")
        relay.freeze()
        await ben.say("meanwhile 1")
        await ben.say("meanwhile 2")
        relay.cut()
        relay.thaw()
        await page.wait_for(f"{TEXTS}.length >= 3 && {IS_CONNECTED}")
        await ben.say("after")
        await page.wait_for(f"{TEXTS}.includes('after')")
    assert await page.evaluate(TEXTS) == ["before", "meanwhile 1", "meanwhile 2", "after"]


async def test_older_messages_come_when_scrolled_up(room: Room, page: Page) -> None:
    async with chatting(room, "oli") as oli, oli.connection() as socket:
        for number in range(120):
            await oli.ask(socket, "chat-message", message=f"message {number}")
        await page.go(room.watch_url)
        await page.wait_for(f"{TEXTS}.at(-1) === 'message 119'")
        assert await page.evaluate(f"{TEXTS}[0]") == "message 70"
        to_top = "(document.getElementById('chat-log').scrollTop = -1e6)"
        await page.wait_for(f"{to_top} && {TEXTS}[0] === 'message 0'")
        assert await page.evaluate(f"{TEXTS}.length") == 120
        await oli.ask(socket, "chat-message", message="new")
        pill = "document.getElementById('chat-pill')"
        await page.wait_for(f"{pill}.checkVisibility() && {pill}.textContent.startsWith('1 new message')")
        assert not await page.evaluate(f"{TEXTS}.includes('new')")
        await page.click("chat-pill")
        await page.wait_for(f"{TEXTS}.at(-1) === 'new' && {pill}.hidden")


async def test_a_flood_does_not_disturb_the_video(room: Room, watcher: Watcher) -> None:
    """In one of a few floods at least: a busy machine may cause a stall now and then."""
    page = watcher.page
    async with publishing_pattern(room), chatting(room, "oli") as oli:
        await watcher.watch(room.watch_url)
        await page.wait_for(IS_CONNECTED)
        await watcher.wait_playing(frames=90)
        seen = []
        for name in FLOODS:
            await page.evaluate(WATCH_VIDEO)
            assert await flood(oli, name) == FLOOD_MESSAGES
            await page.wait_for(f"{TEXTS}.at(-1) === 'last of {name}'")
            assert await page.evaluate("most") <= 200
            seen.append((await page.evaluate("stalls"), await page.evaluate(PLAYED_SHARE)))
            if seen[-1][0] == [] and seen[-1][1] > SMOOTH_SHARE:
                break
        else:
            pytest.fail(f"stalls, and the share of the time that was played: {seen}")
    assert page.problems == []


@pytest.mark.parametrize("width, height", [(1280, 800), (390, 844), (320, 568)])
async def test_panel_fits(room: Room, page: Page, width: int, height: int) -> None:
    await page.resize(width, height, is_phone=width < 600)
    await _sign_in(page, "oli")
    async with chatting(room, "ben") as ben:
        await ben.say("W" * 300)
    await page.wait_for(f"{TEXTS}.length === 1")
    await page.evaluate("document.querySelector('.chat-line [data-act=reply]').click()")
    assert await page.evaluate(OVERFLOW) <= 0
    panel, send = await page.evaluate(
        "['side-panel', 'chat-send'].map((id) => document.getElementById(id).getBoundingClientRect().right)"
    )
    assert send < panel <= width


def _create_user(server: ServerProcess, name: str, role: str) -> None:
    email = f"{name}@example.com"
    server.admin("create-user", "--username", name, "--email", email, "--password", PASSWORD, "--role", role)


async def _sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    if await page.evaluate("document.getElementById('chat-sheet').hidden"):
        await page.click("chat-account")
    await _fill(page, {"username": name, "password": password})
    if password == PASSWORD:
        is_there = "document.getElementById('chat-form').checkVisibility()"
        await page.wait_for(f"{is_there} && document.getElementById('chat-sheet').hidden && {IS_CONNECTED}")


async def _fill(page: Page, values: dict[str, str], more: str = "") -> None:
    await page.evaluate(
        f"""(() => {{
            const form = document.querySelector('#chat-sheet-body form');
            for (const [name, value] of Object.entries({json.dumps(values)})) {{
                form.elements[name].value = value;
            }}
            {more}
            form.requestSubmit();
        }})()"""
    )


async def _type(page: Page, text: str) -> None:
    """Replace what is in the composer."""
    await page.evaluate("document.getElementById('chat-text').select()")
    await page.evaluate("document.getElementById('chat-text').focus()")
    await page.call("Input.insertText", text=text)


async def _choose(page: Page, text: str, label: str) -> None:
    """Choose from the menu of a message."""
    line = f"[...document.querySelectorAll('.chat-line')].find((line) => line.textContent.includes('{text}'))"
    await page.wait_for(line + " !== undefined")
    await page.evaluate(f"{line}.querySelector('[data-act=menu]').click()")
    await _press_in_sheet(page, label)
    await page.wait_for("document.getElementById('chat-sheet').hidden")


async def _press_in_sheet(page: Page, label: str) -> None:
    buttons = "[...document.querySelectorAll('#chat-sheet-body button')]"
    await page.evaluate(f"{buttons}.find((button) => button.textContent === '{label}').click()")
