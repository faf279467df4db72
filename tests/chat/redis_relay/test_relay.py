"""Nodes that tell each other over a real Redis, which is lost and comes back."""

import asyncio
from typing import Any
from uuid import UUID

from structlog.testing import capture_logs

from chat.presence import Presence
from chat.redis_relay import Timing
from chat.redis_relay.relay import CHANNEL
from chat.relay import LocalRelay, Relay
from tests.chat.redis_relay.nodes import Node, rooms_on_board, running, until_equal
from tests.chat.redis_relay.world import OTHER_ROOM, ROOM, SOMEBODY, Memory, event, message
from tests.helpers.relay import Relay as Network
from tests.helpers.waiting import eventually
from tests.storage.test_shared_state import RedisServer

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
    assert first.relay.dropped == 0


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
    await until_equal(lambda: rooms_on_board(redis, "a"), [ROOM.bytes])


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
            assert second.heard.missed_count >= 2


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
        await until_equal(lambda: _has_answered_pings(redis, 10), True)
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


async def _has_answered_pings(redis: Any, count: int) -> bool:
    statistics = await redis.info("commandstats")
    return bool(statistics.get("cmdstat_ping", {}).get("calls", 0) >= count)
