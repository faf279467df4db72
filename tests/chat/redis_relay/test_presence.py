"""What nodes know of who is on the others: told on change, learned later, forgotten when a node dies."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

from chat.presence import Presence
from chat.redis_relay import Timing
from chat.redis_relay.board import CHUNK, NODES
from chat.redis_relay.frames import decode_frame
from chat.redis_relay.relay import CHANNEL
from tests.chat.redis_relay.nodes import Node, keys, rooms_on_board, running, until_equal
from tests.chat.redis_relay.world import OTHER_ROOM, ROOM, SOMEBODY
from tests.helpers.waiting import eventually
from tests.storage.test_shared_state import RedisServer


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


async def test_who_is_elsewhere_is_known_of_rooms_that_are_not_open(
    nodes: tuple[Node, Node], redis: Any, redis_server: RedisServer
) -> None:
    first, second = nodes
    first.relay.opened(OTHER_ROOM)
    first.relay.presence(OTHER_ROOM, SOMEBODY)
    await until_equal(lambda: second.relay.elsewhere(OTHER_ROOM), {"a": SOMEBODY})
    assert await first.relay.elsewhere(OTHER_ROOM) == {}
    [page] = await keys(redis, "a")
    await redis.hset(page, OTHER_ROOM.bytes, b"of another version")
    assert await second.relay.elsewhere(OTHER_ROOM) == {}
    redis_server.kill()
    assert await second.relay.elsewhere(OTHER_ROOM) == {}


async def test_a_room_that_is_closed_is_empty_for_the_others(nodes: tuple[Node, Node], redis: Any) -> None:
    first, second = nodes
    first.relay.presence(ROOM, SOMEBODY)
    await eventually(second.heard.present)
    first.relay.closed(ROOM)
    await eventually(lambda: not second.heard.present())
    assert await rooms_on_board(redis, "a") == []


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
    await until_equal(lambda: keys(redis, "a"), [])
    # Whoever looks next takes the name off the list.
    second.relay.opened(OTHER_ROOM)
    second.relay.presence(OTHER_ROOM, Presence())
    await until_equal(lambda: _members(redis), {b"b"})


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
        (key,) = await keys(redis, "a")
        await redis.pexpire(key, 5000)
        await until_equal(lambda: _is_fresh(redis, key), True)


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
        await until_equal(lambda: _members(redis), {b"b"})


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


async def _members(redis: Any) -> set[bytes]:
    return {member.partition(b"@")[2] for member in await redis.smembers(NODES)}


async def _is_fresh(redis: Any, key: bytes) -> bool:
    return bool(await redis.pttl(key) > 10_000)


async def _heard(channel: Any) -> dict[str, Any]:
    while True:
        message: dict[str, Any] | None = await channel.get_message(timeout=1)
        if message is not None and message["type"] == "message":
            return message
