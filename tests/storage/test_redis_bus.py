"""What one node publishes reaches the others through a real Redis, which is lost and comes back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from control_api.services.notification_kinds import Kind
from control_api.services.notifications import Notifications
from storage import redis_bus
from storage.bus import (
    RELAYED,
    BroadcastStarted,
    Bus,
    ChangesMissed,
    Event,
    GiftSent,
    NotificationAdded,
    RoomChanged,
    TipSent,
    UserFollowed,
)
from storage.database import Database
from storage.redis_bus import CHANNEL, BusRelay
from storage.repositories import Users
from tests.helpers.waiting import eventually
from tests.storage.test_shared_state import RedisServer

GIFT = GiftSent("room", "transfer", "user", "Zoë", "rose", 3, 30)


class Node:
    """A bus with its relay. ``heard`` is what its handlers for everywhere got."""

    def __init__(self, url: str, max_waiting: int = 10_000) -> None:
        self.bus = Bus()
        self.relay = BusRelay(url, self.bus, max_waiting)
        self.heard: list[Event] = []
        self.missed: list[ChangesMissed] = []
        for kind in RELAYED:
            self.bus.subscribe(kind, self.heard.append, everywhere=True)
        self.bus.subscribe(ChangesMissed, self.missed.append)

    @asynccontextmanager
    async def running(self, is_reachable: bool = True) -> AsyncIterator["Node"]:
        task = asyncio.create_task(self.relay.run())
        if is_reachable:
            async with asyncio.timeout(10):
                await self.relay.listening.wait()
        yield self
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        await self.relay.close()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def nodes(redis_server: RedisServer) -> AsyncIterator[tuple[Node, Node]]:
    async with Node(redis_server.url).running() as first, Node(redis_server.url).running() as second:
        yield first, second


def example(kind: type[Event]) -> Event:
    values = {"str": "näme", "int": 7, "bool": True}
    hints = get_type_hints(kind)
    return kind(**{field.name: values[hints[field.name].__name__] for field in fields(kind)})


@pytest.mark.parametrize("kind", sorted(RELAYED, key=lambda kind: kind.__name__))
async def test_every_relayed_event_arrives_as_it_was(nodes: tuple[Node, Node], kind: type[Event]) -> None:
    first, second = nodes
    first.bus.publish(example(kind))
    await eventually(lambda: second.heard)
    assert second.heard == [example(kind)]


async def test_each_handler_hears_of_an_event_once(nodes: tuple[Node, Node]) -> None:
    """The node's own events do not come back, and what arrived is not sent on."""
    first, second = nodes
    first.bus.publish(GIFT)
    await eventually(lambda: second.heard)
    second.bus.publish(BroadcastStarted("end"))
    await eventually(lambda: BroadcastStarted("end") in first.heard)
    assert first.heard == second.heard == [GIFT, BroadcastStarted("end")]


async def test_a_handler_that_is_not_for_everywhere_hears_of_its_node_alone(
    nodes: tuple[Node, Node],
) -> None:
    first, second = nodes
    local: list[UserFollowed] = []
    second.bus.subscribe(UserFollowed, local.append)
    first.bus.publish(UserFollowed("there", "user"))
    await eventually(lambda: second.heard)
    second.bus.publish(UserFollowed("here", "user"))
    assert local == [UserFollowed("here", "user")]


async def test_what_the_database_tells_every_node_is_not_relayed(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    heard: list[RoomChanged] = []
    second.bus.subscribe(RoomChanged, heard.append, everywhere=True)
    first.bus.publish(RoomChanged("room"))
    first.bus.publish(GIFT)
    await eventually(lambda: second.heard)
    assert heard == []


async def test_thousands_arrive_in_order(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    sent = [BroadcastStarted(str(number)) for number in range(5000)]
    for event in sent:
        first.bus.publish(event)
    await eventually(lambda: len(second.heard) == len(sent))
    assert second.heard == sent and first.relay.dropped == 0


async def test_a_lost_redis_is_found_again_and_what_waited_is_sent(
    nodes: tuple[Node, Node], redis_server: RedisServer
) -> None:
    first, second = nodes
    with capture_logs() as logs:
        redis_server.kill()
        await eventually(lambda: not first.relay.listening.is_set() and not second.relay.listening.is_set())
        missed = len(second.missed)
        redis_server.start()
        await eventually(lambda: first.relay.listening.is_set() and second.relay.listening.is_set(), 30)
        assert len(second.missed) == missed + 1
        first.bus.publish(GIFT)
        await eventually(lambda: second.heard == [GIFT], 30)
    assert [log["event"] for log in logs].count("bus_lost") == 2


async def test_what_is_published_while_redis_is_away_waits(redis_server: RedisServer) -> None:
    first, second = Node(redis_server.url), Node(redis_server.url)
    redis_server.kill()
    async with first.running(is_reachable=False):
        first.bus.publish(GIFT)
        redis_server.start()
        async with second.running():
            second.heard.clear()
            second.bus.publish(BroadcastStarted("other"))
            await eventually(lambda: BroadcastStarted("other") in first.heard, 30)
            first.bus.publish(BroadcastStarted("last"))
            await eventually(lambda: BroadcastStarted("last") in second.heard, 30)
    assert not first.relay._waiting and first.relay.dropped == 0


async def test_a_full_queue_drops_the_oldest_and_says_so_once(redis_server: RedisServer) -> None:
    first, second = Node(redis_server.url, max_waiting=3), Node(redis_server.url)
    with capture_logs() as logs:
        for number in range(10):
            first.bus.publish(BroadcastStarted(str(number)))
    assert (first.relay.dropped, [log["event"] for log in logs]) == (7, ["bus_events_dropped"])
    async with second.running(), first.running():
        await eventually(lambda: len(second.heard) == 3)
    assert second.heard == [BroadcastStarted(str(number)) for number in (7, 8, 9)]


async def test_a_number_left_out_is_told_to_those_who_missed_it(redis_server: RedisServer) -> None:
    first, second = Node(redis_server.url, max_waiting=2), Node(redis_server.url)
    async with second.running():
        async with first.running():
            first.bus.publish(GIFT)
            await eventually(lambda: second.heard)
            missed = len(second.missed)
            # All at once, before the relay's turn comes.
            for number in range(5):
                first.bus.publish(BroadcastStarted(str(number)))
            await eventually(lambda: len(second.heard) == 3)
        assert len(second.missed) == missed + 1


def frame(node: object, number: object, kind: object, event: Any) -> bytes:
    return msgspec.msgpack.encode([node, number, kind, event])


GARBAGE = [
    b"",
    b"\xc1",
    b"hello",
    b"\x91" * 100_000,
    msgspec.msgpack.encode(None),
    frame("x", 1, "GiftSent", {}),
    frame("x", 1, "GiftSent", {"room_id": 5}),
    frame("x", 1, "GiftSent", [1, 2]),
    frame("x", "1", "GiftSent", {}),
    frame("x", 1, "NotYetKnown", {}),
    frame("x", 1, "RoomChanged", {"room_id": "r"}),
    frame("x", 1, "ChangesMissed", {}),
    frame("x" * 1000, 1, "BroadcastStarted", {"room_id": "r"}),
    frame("x", 1, "BroadcastStarted", {"room_id": "r"})[:-1],
    frame("x", 1, "BroadcastStarted", {"room_id": b"\xff"}),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_on_the_channel_is_ignored(
    nodes: tuple[Node, Node], redis_server: RedisServer, garbage: bytes
) -> None:
    first, second = nodes
    missed = len(second.missed)
    async with Redis.from_url(redis_server.url) as redis:
        await redis.publish(CHANNEL, garbage)
    first.bus.publish(GIFT)
    await eventually(lambda: second.heard)
    assert second.heard == [GIFT] and len(second.missed) == missed


async def test_what_comes_twice_counts_once(nodes: tuple[Node, Node], redis_server: RedisServer) -> None:
    """A batch of which nobody knows whether it arrived is sent again."""
    _, second = nodes
    event = {"room_id": "r"}
    async with Redis.from_url(redis_server.url) as redis:
        for number in (1, 2, 1, 2, 3):
            await redis.publish(CHANNEL, frame("x", number, "BroadcastStarted", event))
        await redis.publish(CHANNEL, frame("y", 1, "BroadcastStarted", event))
    await eventually(lambda: len(second.heard) == 4)
    assert second.relay._last_numbers == {"x": 3, "y": 1}


async def test_what_came_before_an_interruption_does_not_come_again_after_it(
    nodes: tuple[Node, Node], redis_server: RedisServer
) -> None:
    """Nor is the gap told a second time."""
    _, second = nodes

    async def say(number: int) -> None:
        async with Redis.from_url(redis_server.url) as redis:
            await redis.publish(CHANNEL, frame("x", number, "BroadcastStarted", {"room_id": str(number)}))

    await say(1)
    await eventually(lambda: second.heard)
    redis_server.kill()
    await eventually(lambda: not second.relay.listening.is_set())
    redis_server.start()
    await eventually(second.relay.listening.is_set, 30)
    missed = len(second.missed)
    for number in (1, 5, 6):
        await say(number)
    await eventually(lambda: len(second.heard) == 3)
    assert second.heard == [BroadcastStarted(number) for number in ("1", "5", "6")]
    assert len(second.missed) == missed
    await say(9)
    await eventually(lambda: len(second.missed) == missed + 1)


async def test_fields_of_a_newer_version_are_ignored(
    nodes: tuple[Node, Node], redis_server: RedisServer
) -> None:
    _, second = nodes
    async with Redis.from_url(redis_server.url) as redis:
        await redis.publish(CHANNEL, frame("x", 1, "BroadcastStarted", {"room_id": "r", "more": [1]}))
    await eventually(lambda: second.heard)
    assert second.heard == [BroadcastStarted("r")]


async def test_what_cannot_be_told_disturbs_nobody(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    first.bus.publish(TipSent("room", "transfer", "user", "name", 1, "\ud800"))
    first.bus.publish(GIFT)
    await eventually(lambda: second.heard)
    assert second.heard == [GIFT] and len(first.heard) == 2


@contextmanager
def _standing_still(server: RedisServer) -> Iterator[None]:
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server._process.pid, signal.SIGCONT)


@pytest.fixture
def probed_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_bus, "PROBE_SECONDS", 0.05)


@pytest.mark.usefixtures("probed_often")
async def test_an_idle_link_is_probed_and_kept(redis_server: RedisServer, nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    async with Redis.from_url(redis_server.url) as redis:
        async with asyncio.timeout(10):
            while (await redis.info("commandstats")).get("cmdstat_ping", {"calls": 0})["calls"] < 6:  # noqa: ASYNC110 (nothing says it)
                await asyncio.sleep(0.01)
    first.bus.publish(GIFT)
    await eventually(lambda: second.heard)
    assert len(first.missed) == len(second.missed) == 1


@pytest.mark.usefixtures("probed_often")
async def test_a_link_that_died_without_a_word_is_noticed_and_nothing_comes_twice(
    redis_server: RedisServer, nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis stands still: what was sent in vain is sent again, and then Redis reads both."""
    first, second = nodes
    with _standing_still(redis_server), monkeypatch.context() as patch:
        patch.setattr(redis_bus, "TIMEOUT_SECONDS", 0.2)
        first.bus.publish(GIFT)
        await eventually(lambda: not first.relay.listening.is_set() and not second.relay.listening.is_set())
        assert first.relay._waiting
    await eventually(lambda: first.relay.listening.is_set() and second.relay.listening.is_set())
    await eventually(lambda: not first.relay._waiting)
    first.bus.publish(BroadcastStarted("after"))
    await eventually(lambda: second.heard and second.heard[-1] == BroadcastStarted("after"))
    assert second.heard in ([GIFT, BroadcastStarted("after")], [BroadcastStarted("after")])
    assert len(second.missed) >= 2


async def test_a_redis_that_hangs_holds_nobody_up() -> None:
    """A server that accepts and never answers."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    node = Node(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    async with asyncio.timeout(20), node.running(is_reachable=False):
        node.bus.publish(GIFT)
        await asyncio.sleep(0)
    assert node.heard == [GIFT]
    server.close()


async def test_cancelling_ends_it_whatever_it_does(redis_server: RedisServer) -> None:
    """In Python 3.11 asyncio.wait_for, by which redis-py sends, forgets a cancellation now and then."""
    for steps in range(100):
        node = Node(redis_server.url)
        async with asyncio.timeout(10), node.running():
            node.bus.publish(GIFT)
            for _ in range(steps):
                await asyncio.sleep(0)


async def test_the_last_events_are_sent_when_the_server_stops(redis_server: RedisServer) -> None:
    first, second = Node(redis_server.url), Node(redis_server.url)
    async with second.running():
        async with first.running():
            pass
        late = Node(redis_server.url)
        late.bus.publish(GIFT)
        await late.relay.close()
        await eventually(lambda: second.heard)
    assert second.heard == [GIFT]


async def test_a_notification_is_told_on_every_node(database: Database, nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    user = await Users(database).add("alice", "alice@example.com", "hash")
    await Notifications(database, first.bus).notify(user.id, Kind.FOLLOW, {})
    await eventually(lambda: second.heard)
    [event] = second.heard
    assert isinstance(event, NotificationAdded) and event.user_id == str(user.id)
    assert first.heard == [event]
