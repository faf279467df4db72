"""Who is where, written down in Redis, so that a node that starts or opens a room later learns of it.

Each node has one hash: a field for each room that somebody is in there, and one that says that it lives. The
hash of a node that dies ends with its time to live. A set names the nodes.
"""

import itertools
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from chat.presence import Presence
from chat.redis_relay.frames import INVALID, UnknownVersion, decode_presence, encode_presence
from chat.redis_relay.outbox import Outbox
from chat.redis_relay.peers import SILENT_SECONDS, Peers
from chat.slices import sliced

NODES: Final = "mediaserver:chat:nodes"
ALIVE: Final = b""
"""The field that every living node's hash has, so that the hash exists."""
CHUNK: Final = 100
"""Rooms in one call."""

# In one step: the node may just have come back.
_REMOVE_DEAD: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[1]) end
"""


class PresenceBoard:
    """This node's page of the board, and what it reads in those of others.

    ``present`` and ``closed`` are synchronous; what changed is written and told by ``write``.
    """

    def __init__(
        self, redis: Any, node: str, start: int, outbox: Outbox, silent_seconds: float = SILENT_SECONDS
    ) -> None:
        self._redis = redis
        self._node = node
        self._start = start
        self._outbox = outbox
        self._life_milliseconds = round(silent_seconds * 1000)
        self._remove_dead = redis.register_script(_REMOVE_DEAD)
        self._stamps = itertools.count(1)
        self._own: dict[UUID, Presence] = {}
        self._changed: set[UUID] = set()
        self._unread: set[UUID] = set()

    def present(self, room_id: UUID, presence: Presence) -> bool:
        """Says whether it is the first time that this is told of the room."""
        before = self._own.get(room_id)
        if before == presence:
            return False
        self._own[room_id] = presence
        if before is None:
            self._unread.add(room_id)
        if before is not None or not presence.is_empty:
            self._changed.add(room_id)
        return before is None

    def closed(self, room_id: UUID) -> None:
        self._unread.discard(room_id)
        before = self._own.pop(room_id, None)
        if before is not None:
            self._changed.add(room_id)

    def tell_all_again(self) -> None:
        """Redis may have forgotten, and others may not have heard."""
        self._changed.update(room_id for room_id, presence in self._own.items() if not presence.is_empty)

    def read_all_again(self) -> None:
        self._unread.update(self._own)

    async def refresh(self) -> None:
        """Say that this node lives."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hsetnx(self._key, ALIVE, b"")
            self._keep_alive(pipeline)
            is_new, *_ = await pipeline.execute()
        if is_new:
            self.tell_all_again()
        self._outbox.beat()

    async def write(self) -> None:
        """Write down what changed, then tell it."""
        for rooms in sliced(list(self._changed), CHUNK):
            encoded = {room_id: self._encode(room_id) for room_id in rooms}
            async with self._redis.pipeline(transaction=False) as pipeline:
                self._write(pipeline, encoded)
                self._keep_alive(pipeline)
                self._changed.difference_update(rooms)
                try:
                    await pipeline.execute()
                except BaseException:
                    self._changed.update(rooms)
                    raise
            for room_id, page in encoded.items():
                self._outbox.presence(room_id, page)

    async def read(self, peers: Peers, now: float) -> None:
        """Give ``peers`` what the other nodes wrote of the rooms that were not read yet."""
        if not self._unread:
            return
        rooms, self._unread = list(self._unread), set()
        try:
            for node, start in await self._nodes():
                if node != self._node:
                    await self._read_node(peers, node, start, rooms, now)
        except BaseException:
            self._unread.update(self._own.keys() & rooms)
            raise

    async def look_up(self, room_id: UUID) -> dict[str, Presence]:
        """Who is in a room on the other nodes, open here or not. Pages of other versions are left out."""
        nodes = [(node, start) for node, start in await self._nodes() if node != self._node]
        async with self._redis.pipeline(transaction=False) as pipeline:
            for node, start in nodes:
                pipeline.hmget(_key(node, start), [ALIVE, room_id.bytes])
            pages = await pipeline.execute()
        found: dict[str, Presence] = {}
        for (node, _), (life, page) in zip(nodes, pages, strict=True):
            if life is not None and page is not None:
                with suppress(UnknownVersion, *INVALID):
                    found[node] = decode_presence(page)[1]
        return found

    async def remove(self) -> None:
        """This node goes away."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.delete(self._key)
            pipeline.srem(NODES, _member(self._node, self._start))
            await pipeline.execute()

    async def _nodes(self) -> list[tuple[str, int]]:
        return list(_newest(await self._redis.smembers(NODES)).items())

    async def _read_node(
        self, peers: Peers, node: str, start: int, rooms: Sequence[UUID], now: float
    ) -> None:
        key, member = _key(node, start), _member(node, start)
        for chunk in sliced(rooms, CHUNK):
            stamps = peers.stamps(node)
            life, *pages = await self._redis.hmget(key, [ALIVE, *(room_id.bytes for room_id in chunk)])
            if life is None:
                await self._remove_dead(keys=[key, NODES], args=[member])
                return
            peers.looked_up(node, start, dict(zip(chunk, pages, strict=True)), stamps, now)

    def _encode(self, room_id: UUID) -> bytes:
        return encode_presence(next(self._stamps), self._own.get(room_id, Presence()))

    def _write(self, pipeline: Any, encoded: dict[UUID, bytes]) -> None:
        there = {
            room_id.bytes: page
            for room_id, page in encoded.items()
            if not self._own.get(room_id, Presence()).is_empty
        }
        gone = [room_id.bytes for room_id in encoded if room_id.bytes not in there]
        pipeline.hset(self._key, mapping={ALIVE: b"", **there})
        if gone:
            pipeline.hdel(self._key, *gone)

    def _keep_alive(self, pipeline: Any) -> None:
        pipeline.pexpire(self._key, self._life_milliseconds)
        pipeline.sadd(NODES, _member(self._node, self._start))

    @property
    def _key(self) -> str:
        return _key(self._node, self._start)


def _key(node: str, start: int) -> str:
    return f"mediaserver:chat:presence:{_member(node, start)}"


def _member(node: str, start: int) -> str:
    return f"{start}@{node}"


def _newest(members: Iterable[bytes]) -> dict[str, int]:
    """Each node's last start."""
    nodes: dict[str, int] = {}
    for member in members:
        start, _, node = member.decode(errors="replace").partition("@")
        if start.isdecimal() and node:
            nodes[node] = max(int(start), nodes.get(node, 0))
    return nodes
