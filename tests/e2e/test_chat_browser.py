"""The chat's protocol as JSON, spoken by a page script of the test's own over Chromium's WebSocket."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest

from tests.chat.live_chat import FREE, Live, unique
from tests.helpers.chromium import Chromium, Page
from tests.helpers.relay import Relay
from tests.helpers.server_process import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CLIENT: Final = """(() => {
    window.frames_seen = [];
    window.number = 0;
    window.connect = (query) => new Promise((resolve, reject) => {
        window.socket = new WebSocket(`ws://${location.host}/ws${query}`, ['chat.v1.json']);
        socket.onopen = () => resolve(socket.protocol);
        socket.onerror = () => reject(new Error('refused'));
        socket.onclose = (event) => { window.close_code = event.code; };
        socket.onmessage = (event) => frames_seen.push(JSON.parse(event.data));
    });
    window.tell = (kind, body) => {
        number += 1;
        socket.send(JSON.stringify({ t: kind, id: number, d: body }));
        return number;
    };
    window.answer = (id) => frames_seen.find((frame) => frame.id === id);
    window.texts = () => frames_seen.filter((frame) => frame.t === 'new-message')
        .map((frame) => frame.d.message);
})()"""


class ChatPage:
    """A page with the script. ``relay`` is the network between it and the server."""

    def __init__(self, page: Page, relay: Relay) -> None:
        self.page = page
        self.relay = relay

    async def connect(self, ticket: str | None = None) -> str:
        """The subprotocol that was agreed."""
        query = f"?ticket={ticket}" if ticket else ""
        return str(await self.page.evaluate(f"connect({json.dumps(query)})"))

    async def ask(self, kind: str, **body: Any) -> dict[str, Any]:
        number = await self.page.evaluate(f"tell({json.dumps(kind)}, {json.dumps(body)})")
        return dict(await self.page.wait_for(f"answer({number})"))

    async def reads(self, text: str) -> None:
        await self.page.wait_for(f"texts().includes({json.dumps(text)})")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with ServerProcess(tmp_path_factory.mktemp("browser") / "data", settings=FREE) as server:
        yield Live(server)


@pytest.fixture
async def chat(live: Live, chromium: Chromium) -> AsyncIterator[ChatPage]:
    async with Relay(int(live.server.base_url.rsplit(":", 1)[1])) as relay:
        page = await chromium.open(f"http://127.0.0.1:{relay.port}/live.json")
        await page.evaluate(CLIENT)
        yield ChatPage(page, relay)


async def ticket_of(live: Live, name: str) -> str:
    return str((await (await live.person(name)).get("POST", "/chat/tickets"))["ticket"])


async def test_a_page_joins_sends_and_receives(live: Live, chat: ChatPage) -> None:
    room, hostile = await live.room(), unique('<b>café</b> "🎉"')
    async with live.inside("ana", room) as ana:
        assert await chat.connect(await ticket_of(live, "ben")) == "chat.v1.json"
        joined = await chat.ask("join-room", roomId=room)
        assert (joined["t"], joined["d"]["you"]["username"]) == ("joined", "ben")
        acked = await chat.ask("chat-message", roomId=room, message="from the page")
        assert (await ana.heard("new-message", id=acked["d"]["messageId"]))["message"] == "from the page"
        await ana.say(room, hostile)
        await chat.reads(hostile)
        assert await chat.page.evaluate("number") == 2


async def test_a_page_that_has_not_signed_in_reads_and_is_refused_to_speak(
    live: Live, chat: ChatPage
) -> None:
    room, text = await live.room(), unique()
    await chat.connect()
    assert (await chat.ask("join-room", roomId=room))["d"]["you"]["role"] == "anonymous"
    refused = await chat.ask("chat-message", roomId=room, message="me too")
    assert refused["d"]["code"] == "sign_in_required"
    async with live.inside("ana", room) as ana:
        await ana.say(room, text)
        await chat.reads(text)


async def test_a_page_whose_connection_breaks_recovers_exactly_what_it_missed(
    live: Live, chat: ChatPage
) -> None:
    room = await live.room()
    before, missed = unique(), [unique() for _ in range(3)]
    async with live.inside("ana", room) as ana:
        await chat.connect(await ticket_of(live, "ben"))
        joined = (await chat.ask("join-room", roomId=room))["d"]
        await ana.say(room, before)
        await chat.reads(before)
        chat.relay.cut()
        assert await chat.page.wait_for("window.close_code") == 1006
        for text in missed:
            await ana.say(room, text)
        last = await chat.page.evaluate("Math.max(...frames_seen.map((frame) => frame.d.offset || 0))")
        await chat.connect(await ticket_of(live, "ben"))
        again = (await chat.ask("join-room", roomId=room, epoch=joined["epoch"], offset=last))["d"]
        assert again["recovered"]
        assert [frame["d"]["message"] for frame in again["missed"]] == missed
        after = unique()
        await ana.say(room, after)
        await chat.reads(after)


async def test_a_page_is_told_why_it_was_closed(chat: ChatPage) -> None:
    """Text, where MessagePack was agreed."""
    await chat.page.evaluate(
        """new Promise((resolve) => {
            const other = new WebSocket(`ws://${location.host}/ws`, ['chat.v1.msgpack']);
            other.onopen = () => { other.send('{"t": "ping"}'); };
            other.onclose = (event) => { window.other_code = event.code; resolve(); };
        })"""
    )
    assert await chat.page.evaluate("window.other_code") == 1003
