"""Nodes that tell each other over a real Redis, which is lost and comes back, and nodes that die."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from chat.presence import Presence
from chat.redis_relay import RedisRelay, Timing
from chat.redis_relay.board import CHUNK, NODES
from chat.redis_relay.frames import decode_frame
from chat.redis_relay.relay import CHANNEL
from chat.relay import LocalRelay, Relay
from tests.chat.relay_world import OTHER_ROOM, ROOM, SOMEBODY, Memory, event, message
from tests.helpers.relay import Relay as Network
from tests.helpers.waiting import eventually
from tests.storage.test_shared_state import RedisServer

QUICK = Timing(tell_seconds=0.02, refresh_seconds=0.1, silent_seconds=1.0)


class Node:
    """A relay and what it has heard. ``kill`` ends it without a word."""

    def __init__(self, url: str, name: str, timing: Timing = QUICK, max_entries: int = 10_000) -> None:
        self.relay = RedisRelay(url, name, timing, max_entries)
        self.heard = Memory()
        self.relay.opened(ROOM)
        self._task = asyncio.create_task(self.relay.run(self.heard))

    async def listen(self) -> None:
        async with asyncio.timeout(10):
            await self.relay.listening.wait()

    async def kill(self) -> None:
        assert not self._task.done(), self._task
        self._task.cancel()
        await asyncio.wait([self._task])

    async def end(self) -> None:
        if not self._task.cancelled():
            await self.kill()
        await self.relay.close()


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for node in nodes:
            stack.push_async_callback(node.end)
            await node.listen()
        yield


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Any]:
    client: Any = Redis.from_url(redis_server.url)
    yield client
    await client.aclose()


@pytest.fixture
async def nodes(redis_server: RedisServer) -> AsyncIterator[tuple[Node, Node]]:
    first, second = Node(redis_server.url, "a"), Node(redis_server.url, "b")
    async with running(first, second):
        yield first, second


# Alone


async def test_alone_there_is_nothing_to_do() -> None:
    relay: Relay = LocalRelay()
    relay.opened(ROOM)
    relay.publish([message(1)])
    relay.burst(ROOM, {"x": 1})
    relay.typing(ROOM, {})
    relay.presence(ROOM, SOMEBODY)
    relay.closed(ROOM)
    async with asyncio.timeout(10):
        await relay.run(Memory())
        await relay.close()


# Entries, reactions, typing


async def test_others_hear_what_was_said_and_oneself_does_not(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    entries = [message(1), event(2), message(3)]
    first.relay.publish(entries)
    second.relay.publish([message(4)])
    first.relay.burst(ROOM, {"🎉": 3})
    first.relay.typing(ROOM, {UUID(int=7): "ann"})
    await eventually(lambda: second.heard.typing and first.heard.entries)
    assert second.heard.entries == entries
    assert first.heard.entries == [message(4)]
    assert (second.heard.bursts, first.heard.bursts) == ([(ROOM, {"🎉": 3})], [])


async def test_much_at_once_comes_whole_and_in_order(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    for start in range(1, 5001, 50):
        first.relay.publish([message(offset, text="x" * 300) for offset in range(start, start + 50)])
    await eventually(lambda: len(second.heard.entries) >= 5000, 30)
    assert second.heard.offsets == list(range(1, 5001))
    assert (first.relay.dropped, second.heard.missed_count) == (0, 1)


async def test_closed_rooms_are_not_heard(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    second.relay.opened(OTHER_ROOM)
    second.relay.closed(ROOM)
    first.relay.publish([message(1), message(1, OTHER_ROOM)])
    await eventually(lambda: second.heard.entries)
    assert second.heard.rooms == [OTHER_ROOM]


async def test_garbage_on_the_channel_disturbs_nobody(nodes: tuple[Node, Node], redis: Any) -> None:
    first, second = nodes
    for garbage in (b"", b"\xc1", b"[1]", b"x" * 100_000):
        await redis.publish(CHANNEL, garbage)
    first.relay.publish([message(1)])
    await eventually(lambda: second.heard.entries)


# Redis goes and comes


async def test_redis_is_lost_and_back(nodes: tuple[Node, Node], redis_server: RedisServer) -> None:
    first, second = nodes
    first.relay.presence(ROOM, SOMEBODY)
    second.relay.presence(ROOM, Presence())
    await eventually(second.heard.present)
    with capture_logs() as logs:
        redis_server.kill()
        await eventually(lambda: not first.relay.listening.is_set() and not second.relay.listening.is_set())
        first.relay.publish([message(1)])
        first.relay.burst(ROOM, {"x": 1})
        redis_server.start()
        await second.listen()
    assert second.heard.missed_count >= 2
    first.relay.publish([message(2)])
    await eventually(lambda: 2 in second.heard.offsets)
    # What was told while nobody listened may be heard or not; the database has it.
    assert second.heard.offsets in ([1, 2], [2])
    await eventually(lambda: second.heard.present() == {"a": SOMEBODY})
    lost = [log["what"] for log in logs if log["event"] == "chat_relay_lost"]
    assert lost.count("listening") == 2


async def test_presence_is_written_again_for_those_who_come_after_the_loss(
    nodes: tuple[Node, Node], redis_server: RedisServer
) -> None:
    first, _ = nodes
    first.relay.presence(ROOM, SOMEBODY)
    redis_server.kill()
    redis_server.start()
    await eventually(first.relay.listening.is_set)
    late = Node(redis_server.url, "c")
    async with running(late):
        late.relay.presence(ROOM, Presence())
        await eventually(lambda: late.heard.present() == {"a": SOMEBODY})


async def test_presence_is_written_again_when_redis_forgets(nodes: tuple[Node, Node], redis: Any) -> None:
    first, _ = nodes
    first.relay.presence(ROOM, SOMEBODY)
    await eventually(lambda: nodes[1].heard.present())
    await redis.flushall()
    await _until_equal(lambda: _pages(redis, "a"), [ROOM.bytes])


async def test_what_waits_while_redis_is_away_is_bounded_and_said(redis_server: RedisServer) -> None:
    first, second = Node(redis_server.url, "a", max_entries=5), Node(redis_server.url, "b")
    async with running(first, second):
        first.relay.publish([message(1)])
        await eventually(lambda: second.heard.entries)
        redis_server.kill()
        await eventually(lambda: not first.relay.listening.is_set())
        first.relay.publish([message(offset) for offset in range(2, 102)])
        assert (first.relay.waiting, first.relay.dropped) == (5, 95)
        redis_server.start()
        await second.listen()
        first.relay.publish([message(102)])
        await eventually(lambda: 102 in second.heard.offsets)
        assert second.heard.missed_count >= 2


async def test_a_sender_that_alone_was_cut_off_tells_what_it_dropped(redis_server: RedisServer) -> None:
    """The other node listened all the time, so only the frame itself can say that entries are missing."""
    async with Network(redis_server.port) as network:
        first = Node(f"redis://127.0.0.1:{network.port}/0", "a", max_entries=5)
        second = Node(redis_server.url, "b")
        async with running(first, second):
            network.freeze()
            first.relay.publish([message(1)])
            await eventually(lambda: first.relay.waiting == 0)
            first.relay.publish([message(offset) for offset in range(2, 102)])
            network.thaw()
            await eventually(lambda: 101 in second.heard.offsets)
            assert second.heard.missed_count == 2


async def test_starts_without_redis(redis_server: RedisServer) -> None:
    redis_server.kill()
    node = Node(redis_server.url, "a")
    node.relay.publish([message(1)])
    node.relay.presence(ROOM, SOMEBODY)
    with capture_logs() as logs:
        await eventually(lambda: len(logs) >= 3)
    redis_server.start()
    async with running(node):
        assert node.heard.missed_count == 1
        await eventually(lambda: node.relay.waiting == 0)


async def test_a_link_that_died_without_a_word_is_noticed(redis_server: RedisServer) -> None:
    timing = Timing(probe_seconds=0.05, timeout_seconds=0.2)
    async with Network(redis_server.port) as network:
        first = Node(redis_server.url, "a")
        second = Node(f"redis://127.0.0.1:{network.port}/0", "b", timing)
        async with running(first, second):
            network.freeze()
            await eventually(lambda: not second.relay.listening.is_set())
            network.thaw()
            await second.listen()
            first.relay.publish([message(1)])
            await eventually(lambda: second.heard.entries)
            assert second.heard.missed_count >= 2


async def test_a_link_that_is_silent_but_alive_is_kept(redis_server: RedisServer, redis: Any) -> None:
    node = Node(redis_server.url, "a", Timing(probe_seconds=0.01))
    async with running(node):
        await _until_equal(lambda: _has_answered_pings(redis, 10), True)
        assert node.relay.listening.is_set()
        assert node.heard.missed_count == 1


async def test_cancelling_ends_it_whatever_it_does(redis_server: RedisServer) -> None:
    """In Python 3.11 asyncio.wait_for, by which redis-py sends, forgets a cancellation now and then."""
    busy = Timing(tell_seconds=0, refresh_seconds=0)
    for steps in range(100):
        node = Node(redis_server.url, "a", busy)
        await node.listen()
        node.relay.publish([message(1)])
        for _ in range(steps):
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await node.kill()
            await node.relay.close()


async def test_closing_without_redis_ends(redis_server: RedisServer) -> None:
    node = Node(redis_server.url, "a")
    await node.listen()
    redis_server.kill()
    node.relay.publish([message(1)])
    async with asyncio.timeout(20):
        await node.end()


async def test_what_waits_is_sent_when_closing(nodes: tuple[Node, Node], redis_server: RedisServer) -> None:
    first, _ = nodes
    last = Node(redis_server.url, "c")
    await last.listen()
    await last.kill()
    last.relay.publish([message(1)])
    await last.relay.close()
    await eventually(lambda: first.heard.offsets == [1])


# Presence


async def test_presence_is_told_on_change(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    for _ in range(3):
        first.relay.presence(ROOM, SOMEBODY)
    await eventually(lambda: second.heard.present() == {"a": SOMEBODY})
    more = replace(SOMEBODY, anonymous=50)
    first.relay.presence(ROOM, more)
    await eventually(lambda: second.heard.present() == {"a": more})
    first.relay.presence(ROOM, Presence())
    await eventually(lambda: second.heard.present() == {})
    assert [told for _, _, told in second.heard.presences] == [SOMEBODY, more, Presence()]


async def test_presence_of_a_second_is_told_once(redis_server: RedisServer) -> None:
    first = Node(redis_server.url, "a", Timing(tell_seconds=0.5))
    second = Node(redis_server.url, "b")
    async with running(first, second):
        first.relay.presence(ROOM, SOMEBODY)
        await eventually(second.heard.present)
        for count in range(3, 100):
            first.relay.presence(ROOM, replace(SOMEBODY, anonymous=count))
        await eventually(lambda: second.heard.present() == {"a": replace(SOMEBODY, anonymous=99)})
        assert len(second.heard.presences) == 2


async def test_a_room_that_is_closed_is_empty_for_the_others(nodes: tuple[Node, Node], redis: Any) -> None:
    first, second = nodes
    first.relay.presence(ROOM, SOMEBODY)
    await eventually(second.heard.present)
    first.relay.closed(ROOM)
    await eventually(lambda: not second.heard.present())
    assert await _pages(redis, "a") == []


async def test_a_node_that_starts_later_learns_who_is_there(
    nodes: tuple[Node, Node], redis_server: RedisServer
) -> None:
    first, second = nodes
    for relay in (first.relay, second.relay):
        relay.presence(ROOM, SOMEBODY)
    await eventually(lambda: first.heard.present() and second.heard.present())
    late = Node(redis_server.url, "c")
    async with running(late):
        late.relay.presence(ROOM, Presence())
        await eventually(lambda: late.heard.present() == {"a": SOMEBODY, "b": SOMEBODY})


async def test_a_room_that_is_opened_later_learns_who_is_there(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    rooms = [UUID(int=number) for number in range(100, 100 + 2 * CHUNK + 1)]
    for room_id in rooms:
        first.relay.opened(room_id)
        first.relay.presence(room_id, SOMEBODY)
    second.relay.opened(rooms[0])
    await eventually(lambda: second.heard.presences)
    for room_id in rooms:
        second.relay.opened(room_id)
        second.relay.presence(room_id, Presence())
    await eventually(lambda: all(second.heard.present(room_id) == {"a": SOMEBODY} for room_id in rooms))


async def test_a_node_that_dies_is_forgotten(nodes: tuple[Node, Node], redis: Any) -> None:
    first, second = nodes
    first.relay.presence(ROOM, SOMEBODY)
    await eventually(second.heard.present)
    await first.kill()
    await eventually(lambda: not second.heard.present())
    await _until_equal(lambda: _keys(redis, "a"), [])
    # Whoever looks next takes the name off the list.
    second.relay.opened(OTHER_ROOM)
    second.relay.presence(OTHER_ROOM, Presence())
    await _until_equal(lambda: _members(redis), {b"b"})


async def test_a_node_that_says_nothing_lets_others_hear_that_it_lives(
    redis_server: RedisServer, redis: Any
) -> None:
    node = Node(redis_server.url, "a", Timing(tell_seconds=0.02, refresh_seconds=0.05))
    async with running(node), redis.pubsub() as channel:
        await channel.subscribe(CHANNEL)
        await eventually(lambda: node.relay.listening.is_set())
        async with asyncio.timeout(10):
            frames = [decode_frame((await _heard(channel))["data"]) for _ in range(3)]
        assert [(frame.node, frame.items) for frame in frames] == [("a", [])] * 3
        (key,) = await _keys(redis, "a")
        await redis.pexpire(key, 5000)
        await _until_equal(lambda: _is_fresh(redis, key), True)


async def test_who_was_given_up_too_early_is_known_again_when_heard(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    first.relay.presence(ROOM, SOMEBODY)
    second.relay.presence(ROOM, Presence())
    await eventually(second.heard.present)
    peers = second.relay._peers
    assert peers is not None
    peers.expire(asyncio.get_running_loop().time() + 60)
    assert not second.heard.present()
    await eventually(lambda: second.heard.present() == {"a": SOMEBODY})


async def test_a_node_that_takes_leave_is_forgotten_at_once(redis_server: RedisServer, redis: Any) -> None:
    first, second = Node(redis_server.url, "a", Timing()), Node(redis_server.url, "b", Timing())
    async with running(second):
        async with running(first):
            first.relay.presence(ROOM, SOMEBODY)
            await eventually(second.heard.present)
        await eventually(lambda: not second.heard.present())
        await _until_equal(lambda: _members(redis), {b"b"})


async def test_a_node_that_is_killed_and_starts_again_is_not_counted_twice(
    nodes: tuple[Node, Node], redis_server: RedisServer
) -> None:
    first, second = nodes
    first.relay.presence(ROOM, SOMEBODY)
    await eventually(second.heard.present)
    await first.kill()
    again = Node(redis_server.url, "a")
    late = Node(redis_server.url, "c")
    async with running(again, late):
        fewer = replace(SOMEBODY, anonymous=0)
        again.relay.presence(ROOM, fewer)
        await eventually(lambda: second.heard.present() == {"a": fewer})
        late.relay.presence(ROOM, Presence())
        await eventually(lambda: late.heard.present() == {"a": fewer})


async def _keys(redis: Any, node: str) -> list[bytes]:
    keys: list[bytes] = await redis.keys(f"mediaserver:chat:presence:*@{node}")
    return keys


async def _pages(redis: Any, node: str) -> list[bytes]:
    """The rooms on the board of the node."""
    return [field for key in await _keys(redis, node) for field in await redis.hkeys(key) if field]


async def _members(redis: Any) -> set[bytes]:
    return {member.partition(b"@")[2] for member in await redis.smembers(NODES)}


async def _is_fresh(redis: Any, key: bytes) -> bool:
    return bool(await redis.pttl(key) > 20_000)


async def _has_answered_pings(redis: Any, count: int) -> bool:
    statistics = await redis.info("commandstats")
    return bool(statistics.get("cmdstat_ping", {}).get("calls", 0) >= count)


async def _heard(channel: Any) -> dict[str, Any]:
    while True:
        message: dict[str, Any] | None = await channel.get_message(timeout=1)
        if message is not None and message["type"] == "message":
            return message


async def _until_equal(ask: Callable[[], Awaitable[object]], expected: object) -> None:
    async with asyncio.timeout(10):
        while await ask() != expected:  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.01)
