"""Two servers on one PostgreSQL and one Redis are one chat."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from mediaserver.demo import publish_test_pattern
from storage.embedded import EmbeddedPostgres
from tests.chat.clients import Chat, chatting
from tests.chat.live_chat import FREE, Live, comes_true, unique
from tests.chat.talkers import Talkers
from tests.helpers.server_figures import metric
from tests.helpers.server_process import ServerProcess
from tests.helpers.waiting import eventually
from tests.storage.test_shared_state import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.interop]

WITHIN_SECONDS = 10.0
"""A second is promised, which a machine that is busy may not keep; what is lost on the way never comes."""
HEAL_SECONDS = 30.0
MESSAGES_PER_WINDOW = 40


@dataclass
class Nodes:
    """The same people and rooms on both. ``a`` makes them."""

    a: Live
    b: Live
    redis: RedisServer

    @asynccontextmanager
    async def room_with(
        self, count_a: int, count_b: int
    ) -> AsyncIterator[tuple[str, list[Chat], list[Chat]]]:
        """A room of ana's, and people in it on each node: new ones, since their limits are their own."""
        room = await self.a.room()
        async with AsyncExitStack() as stack:
            chats: list[Chat] = []
            for node in (self.a,) * count_a + (self.b,) * count_b:
                person = await self.a.newcomer()
                self.a.people[person.name] = person
                chats.append(await stack.enter_async_context(node.chat(person)))
                await chats[-1].join(room)
            yield room, chats[:count_a], chats[count_a:]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("nodes")
    redis = RedisServer(folder)
    redis.start()
    shared = FREE | {
        "MEDIASERVER_REDIS_URL": redis.url,
        "MEDIASERVER_SECRET_KEY": secrets.token_hex(32),
        "MEDIASERVER_CHAT__MESSAGES_PER_WINDOW": str(MESSAGES_PER_WINDOW),
    }
    try:
        with ServerProcess(folder / "a", settings=shared) as a:
            database = {"MEDIASERVER_DATABASE_URL": EmbeddedPostgres(folder / "a" / "postgres").url}
            with ServerProcess(folder / "b", settings=shared | database) as b:
                yield Nodes(Live(a), Live(b), redis)
    finally:
        redis.kill()


# Entries


async def test_all_see_one_order(nodes: Nodes) -> None:
    async with nodes.room_with(2, 2) as (room, at_a, at_b):
        chats = [*at_a, *at_b]

        async def talk(chat: Chat) -> None:
            for _ in range(30):
                await chat.say(room, unique())

        await asyncio.gather(*(talk(chat) for chat in chats))
        for chat in chats:
            await eventually(lambda chat=chat: len(chat.texts(room)) == 120, WITHIN_SECONDS)
        told = [chat.all("new-message") for chat in chats]
        assert told == [told[0]] * 4
        assert [body["offset"] for body in told[0]] == list(range(1, 121))


async def test_what_was_missed_on_one_node_is_recovered_on_the_other(nodes: Nodes) -> None:
    async with nodes.room_with(1, 1) as (room, [one], [other]):
        start = await one.join(room)
        for _ in range(5):
            await one.say(room, unique())
            await other.say(room, unique())
        await eventually(lambda: len(other.texts(room)) == 10)
        joined = await other.join(room, epoch=start["epoch"], offset=start["offset"])
        assert joined["recovered"]
        assert len(joined["missed"]) == 10
        async with nodes.b.chat() as guest:
            late = await guest.join(room, epoch=start["epoch"], offset=start["offset"])
            assert late["missed"] == joined["missed"]
            said = await one.say(room, unique())
            await guest.heard("new-message", id=said["messageId"], offset=late["offset"] + 1)


async def test_a_room_that_opens_while_another_node_writes_misses_nothing(nodes: Nodes) -> None:
    async with nodes.room_with(2, 0) as (room, writers, _):

        async def talk(chat: Chat) -> None:
            for _ in range(35):
                await chat.say(room, unique())

        writing = asyncio.gather(*(talk(chat) for chat in writers))
        async with nodes.b.chat() as guest:
            first = await guest.join(room)
            await writing
            await eventually(lambda: len(guest.texts(room)) == 70 - first["offset"], WITHIN_SECONDS)


# Moderation


async def test_moderation_reaches_the_other_node(nodes: Nodes) -> None:
    ana = await nodes.a.person("ana")
    async with nodes.room_with(1, 1) as (room, [one], [other]):
        user = (await other.join(room))["you"]
        said = await other.say(room, unique())
        await ana.get("DELETE", f"/rooms/{room}/messages/{said['messageId']}")
        await other.heard("message-deleted", WITHIN_SECONDS, messageId=said["messageId"])
        await ana.get("PUT", f"/rooms/{room}/chat-settings", {"emoteOnly": True})
        await other.heard("settings-changed", WITHIN_SECONDS)
        assert await other.refused("chat-message", roomId=room, message=unique()) == "emote_only"
        await ana.get("PUT", f"/rooms/{room}/chat-settings", {})
        await ana.get("POST", f"/rooms/{room}/bans", {"userId": user["userId"]})
        await other.heard("user-banned", WITHIN_SECONDS)
        assert await other.refused("chat-message", roomId=room, message=unique()) == "banned"
        await ana.get("DELETE", f"/rooms/{room}/bans/{user['userId']}")
        await other.heard("user-unbanned", WITHIN_SECONDS)
        await ana.get("PUT", f"/rooms/{room}/moderators/{user['userId']}")
        await other.heard("moderator-added", WITHIN_SECONDS)
        assert (await other.ask("clear-chat", roomId=room))["t"] == "ack"
        for chat in (one, other):
            await chat.heard("chat-cleared", WITHIN_SECONDS)
        assert [f["t"] for f in one.frames if "offset" in f["d"] and f["t"] != "joined"] == [
            f["t"] for f in other.frames if f["t"] not in ("joined", "ack") and "offset" in f["d"]
        ]


async def test_shadow_bans_and_terms_reach_the_other_node(nodes: Nodes) -> None:
    ana = await nodes.a.person("ana")
    async with nodes.room_with(0, 1) as (room, _, [other]):
        user = (await other.join(room))["you"]
        await ana.get(
            "PUT", f"/rooms/{room}/blocked-terms", {"terms": [{"text": "plum", "action": "refuse"}]}
        )

        async def is_blocked() -> bool:
            return (await other.ask("chat-message", roomId=room, message=unique("plum")))["t"] == "error"

        await comes_true(is_blocked, WITHIN_SECONDS)
        await ana.get("POST", f"/rooms/{room}/bans", {"userId": user["userId"], "shadow": True})

        async def is_unheard() -> bool:
            text = unique()
            await other.say(room, text)
            await other.first(lambda frame: frame["d"].get("message") == text)
            messages = await ana.get("GET", f"/rooms/{room}/messages?limit=1")
            return not messages or messages[0]["message"] != text

        await comes_true(is_unheard, WITHIN_SECONDS)
        other.faults.clear()  # what only they see has no place in the order


async def test_who_follows_on_one_node_may_write_on_the_other(nodes: Nodes) -> None:
    ana, ben, room = await nodes.a.person("ana"), await nodes.a.newcomer(), await nodes.a.room()
    await ana.get("PUT", f"/rooms/{room}/chat-settings", {"followersOnlySec": 0})
    async with nodes.b.chat(ben) as chat:
        await chat.join(room)
        assert await chat.refused("chat-message", roomId=room, message=unique()) == "followers_only"
        await ben.get("POST", f"/users/{ana.id}/follow")

        async def may_write() -> bool:
            return (await chat.ask("chat-message", roomId=room, message=unique()))["t"] == "ack"

        await comes_true(may_write)


async def test_held_messages_are_decided_on_another_node(nodes: Nodes) -> None:
    ana = await nodes.a.person("ana")
    async with nodes.room_with(1, 1) as (room, [one], [other]):
        await ana.get("PUT", f"/rooms/{room}/chat-settings", {"links": "hold"})
        await other.heard("settings-changed", WITHIN_SECONDS)
        ids = []
        for _ in range(2):
            held = await other.ask("chat-message", roomId=room, message=unique("https://example.com/"))
            ids.append(held["d"]["messageId"])
        await ana.get("POST", f"/rooms/{room}/held-messages/{ids[0]}/allow")
        for chat in (one, other):
            await chat.heard("new-message", WITHIN_SECONDS, id=ids[0])
        await ana.get("POST", f"/rooms/{room}/held-messages/{ids[1]}/deny")
        await other.heard("message-held", WITHIN_SECONDS, messageId=ids[1], status="denied")


async def test_moderators_on_another_node_hear_of_held_messages(nodes: Nodes) -> None:
    ana = await nodes.a.person("ana")
    async with nodes.room_with(0, 1) as (room, _, [other]), nodes.a.inside("ana", room) as owner:
        await ana.get("PUT", f"/rooms/{room}/chat-settings", {"links": "hold"})
        await other.heard("settings-changed", WITHIN_SECONDS)
        held = await other.ask("chat-message", roomId=room, message=unique("https://example.com/"))
        await owner.heard("message-held", WITHIN_SECONDS, messageId=held["d"]["messageId"])


async def test_who_may_not_stay_is_put_out_on_the_other_node(nodes: Nodes) -> None:
    ana, person = await nodes.a.person("ana"), await nodes.a.newcomer()
    room = await nodes.a.room()
    async with nodes.b.chat(person) as chat:
        await chat.join(room)
        await ana.get("PATCH", f"/rooms/{room}", {"visibility": "private"})
        assert (await chat.heard("left", WITHIN_SECONDS))["code"] == "closed"
        await person.get("POST", "/auth/logout")
        assert await chat.over(WITHIN_SECONDS) == 3000


async def test_who_moderates_no_more_is_put_out_of_a_private_room(nodes: Nodes) -> None:
    ana, person = await nodes.a.person("ana"), await nodes.a.newcomer()
    room = await nodes.a.room(visibility="private")
    await ana.get("PUT", f"/rooms/{room}/moderators/{person.id}")
    async with nodes.a.chat(person) as one, nodes.b.chat(person) as other:
        for chat in (one, other):
            await chat.join(room)
        await ana.get("DELETE", f"/rooms/{room}/moderators/{person.id}")
        for chat in (one, other):
            assert (await chat.heard("left", WITHIN_SECONDS))["code"] == "closed"


# People


async def test_who_is_here_is_counted_once_over_both(nodes: Nodes) -> None:
    async with nodes.room_with(1, 1) as (room, [one], [other]):
        people = [(await chat.join(room))["you"]["username"] for chat in (one, other)]
        await eventually(lambda: one.all("viewer-joined", username=people[1]), WITHIN_SECONDS)
        await eventually(lambda: other.all("viewer-joined", username=people[0]), WITHIN_SECONDS)
        async with nodes.b.chat(nodes.a.people[people[0]]) as twice, nodes.a.chat() as guest:
            await twice.join(room)
            await guest.join(room)
            for chat in (one, other):
                await chat.first(lambda frame: frame["d"].get("viewerCount") == 3, HEAL_SECONDS)
            chatters = (
                await nodes.a.people["ana"].at(nodes.b.server.base_url).get("GET", f"/rooms/{room}/chatters")
            )
            assert sorted(each["username"] for each in chatters) == sorted(people)
        await other.wire.close()
        await one.heard("viewer-left", HEAL_SECONDS, username=people[1])


async def test_who_watches_is_counted_where_others_chat(nodes: Nodes) -> None:
    """Nobody is in the chat on the node where the stream is."""
    room, key = await asyncio.to_thread(nodes.a.server.create_room, "Live")
    publishing = asyncio.create_task(publish_test_pattern(f"{nodes.a.server.rtmp_url}/{key}"))
    try:
        await asyncio.to_thread(nodes.a.server.wait_live, room)
        stream = f"{nodes.a.server.base_url}/live/{room}.flv"
        async with nodes.b.chat() as guest, aiohttp.ClientSession() as http, http.get(stream) as watched:
            assert watched.status == 200
            await guest.join(room)
            await guest.first(lambda frame: frame["d"].get("viewerCount") == 2, HEAL_SECONDS)
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)


async def test_who_is_here_is_known_where_nobody_is(nodes: Nodes) -> None:
    ana = await nodes.a.person("ana")
    async with nodes.room_with(2, 0) as (room, at_a, _):
        people = sorted([(await chat.join(room))["you"]["username"] for chat in at_a])
        at_b = ana.at(nodes.b.server.base_url)

        async def are_known() -> bool:
            chatters = await at_b.get("GET", f"/rooms/{room}/chatters")
            return [each["username"] for each in chatters] == people

        await comes_true(are_known, WITHIN_SECONDS)
        [last] = await at_b.get("GET", f"/rooms/{room}/chatters?limit=1")
        assert last["username"] == people[0]


async def test_reactions_and_typing(nodes: Nodes) -> None:
    async with nodes.room_with(1, 1) as (room, [one], [other]):
        await one.tell("react", roomId=room, reaction="🎉")
        assert (await other.heard("reaction-burst", WITHIN_SECONDS))["reactions"] == {"🎉": 1}
        await other.tell("typing", roomId=room)
        await one.heard("typing", WITHIN_SECONDS)
        await one.settle()
        assert len(one.all("reaction-burst")) == 1


async def test_limits_are_shared(nodes: Nodes) -> None:
    person, room = await nodes.a.newcomer(), await nodes.a.room()
    async with nodes.a.chat(person) as one, nodes.b.chat(person) as other:
        for chat in (one, other):
            await chat.join(room)
        # As many on each as one may: all would be taken if each node counted for itself.
        answers = await asyncio.gather(
            *(
                chat.ask("chat-message", roomId=room, message=unique())
                for chat in (one, other)
                for _ in range(MESSAGES_PER_WINDOW)
            )
        )
        refused = [answer["d"] for answer in answers if answer["t"] == "error"]
        assert refused
        assert all((each["code"], each["retryAfter"] > 0) == ("rate_limited", True) for each in refused)


async def test_a_ticket_of_one_node_opens_the_other(nodes: Nodes) -> None:
    person, room = await nodes.a.newcomer(), await nodes.a.room()
    query = f"?ticket={(await person.get('POST', '/chat/tickets'))['ticket']}"
    async with chatting(nodes.b.url + query, {}) as chat:
        assert (await chat.join(room))["you"]["userId"] == person.id
    for node in (nodes.a, nodes.b):
        assert (await node.turned_away(query))[0] == 401


# Faults


async def relays_again(room: str, one: Chat, other: Chat) -> None:
    """What is said is heard sooner than it would be found in the database."""

    async def is_quick() -> bool:
        said = await one.say(room, unique())
        try:
            await other.heard("new-message", 0.5, id=said["messageId"])
        except TimeoutError:
            return False
        return True

    await comes_true(is_quick, HEAL_SECONDS)


async def test_redis_is_lost_and_comes_back(nodes: Nodes) -> None:
    async with nodes.room_with(1, 1) as (room, [one], [other]):
        await one.say(room, unique())
        await asyncio.to_thread(nodes.redis.kill)
        # What is said while the nodes do not hear each other is stored, and shown where it was said.
        for chat in (one, other):
            said = await chat.say(room, unique())
            await chat.heard("new-message", id=said["messageId"])
        await one.say(room, unique())
        await asyncio.to_thread(nodes.redis.start)
        for chat in (one, other):
            await eventually(lambda chat=chat: len(chat.texts(room)) == 4, HEAL_SECONDS)
        last = await other.say(room, unique())
        await one.heard("new-message", HEAL_SECONDS, id=last["messageId"])
        await other.heard("new-message", id=last["messageId"])
        assert one.all("new-message") == other.all("new-message")
        await relays_again(room, one, other)
        await relays_again(room, other, one)


async def test_redis_is_lost_in_mid_message(nodes: Nodes) -> None:
    """What was acknowledged on either node is shown on both, once and in one order."""
    async with nodes.room_with(2, 2) as (room, at_a, at_b):
        talkers = Talkers([at_a[0], at_b[0]], room)
        await talkers.more_acked(10)
        await asyncio.to_thread(nodes.redis.kill)
        await talkers.more_acked(10)
        await asyncio.to_thread(nodes.redis.start)
        await talkers.more_acked(10)
        await talkers.end()
        for chat in (at_a[1], at_b[1]):
            await eventually(lambda chat=chat: set(talkers.acked) <= set(chat.texts(room)), HEAL_SECONDS)
        # Some may have been stored though nobody could be told so.
        await eventually(lambda: at_a[1].texts(room) == at_b[1].texts(room), HEAL_SECONDS)
        assert len(set(at_a[1].texts(room))) == len(at_a[1].texts(room))
        await relays_again(room, at_a[1], at_b[1])
        await relays_again(room, at_b[1], at_a[1])
        dropped = "mediaserver_chat_relay_dropped_total"
        assert await asyncio.to_thread(metric, nodes.a.server, dropped) == 0


async def test_a_node_that_is_killed_loses_nothing_and_comes_back(nodes: Nodes) -> None:
    async with nodes.room_with(1, 1) as (room, [one], [other]):
        start = await one.join(room)
        name = (await other.join(room))["you"]["username"]
        await one.heard("viewer-joined", HEAL_SECONDS, username=name)
        said = await other.say(room, unique())
        await asyncio.to_thread(nodes.b.server.kill)
        await one.heard("new-message", HEAL_SECONDS, id=said["messageId"])
        await other.over()
        try:
            async with nodes.a.chat(nodes.a.people[name]) as moved:
                joined = await moved.join(room, epoch=start["epoch"], offset=start["offset"])
                assert [frame["d"]["id"] for frame in joined["missed"]] == [said["messageId"]]
                told = await moved.say(room, unique())
                await one.heard("new-message", id=told["messageId"])
        finally:
            await asyncio.to_thread(nodes.b.server.start)
        async with nodes.b.chat() as guest:
            await guest.join(room)
            again = await one.say(room, unique())
            await guest.heard("new-message", HEAL_SECONDS, id=again["messageId"])
