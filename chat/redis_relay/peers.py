"""What other nodes tell, looked at and passed on. Sans-I/O: payloads and times in, calls of the sink out."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final
from uuid import UUID

import msgspec
import structlog

from chat.presence import Presence
from chat.redis_relay.frames import (
    BURST,
    ENTRIES,
    INVALID,
    PRESENCE,
    TYPING,
    Frame,
    Item,
    UnknownVersion,
    decode_burst,
    decode_entries,
    decode_frame,
    decode_presence,
    decode_typing,
)
from chat.relay import RelaySink

logger = structlog.get_logger("mediaserver.chat")

SILENT_SECONDS: Final = 15.0
"""A node that is not heard of for so long is gone."""
MAX_PEERS: Final = 1000


class _Peer:
    """Another node, since its ``start``. ``number`` is that of its last frame; 0: none was heard yet."""

    __slots__ = ("heard_at", "number", "stamps", "start")

    def __init__(self, start: int, now: float) -> None:
        self.start = start
        self.number = 0
        self.heard_at = now
        self.stamps: dict[UUID, int] = {}
        """Of what it told last of each open room."""


class Peers:
    """The other nodes. ``node`` and ``start`` are this one's."""

    def __init__(
        self, node: str, start: int, sink: RelaySink, silent_seconds: float = SILENT_SECONDS
    ) -> None:
        self._node = node
        self._start = start
        self._sink = sink
        self._silent_seconds = silent_seconds
        self._peers: dict[str, _Peer] = {}
        self._open: set[UUID] = set()
        self._has_strangers = False

    def opened(self, room_id: UUID) -> None:
        self._open.add(room_id)

    def closed(self, room_id: UUID) -> None:
        self._open.discard(room_id)
        self.forget_presence(room_id)

    def forget_presence(self, room_id: UUID) -> None:
        """Whatever is heard of the room next is news again."""
        for peer in self._peers.values():
            peer.stamps.pop(room_id, None)

    def began_to_listen(self) -> None:
        """What was told before now was not heard."""
        for peer in self._peers.values():
            peer.number = 0
        self._call(self._sink.missed)

    def received(self, payload: bytes, now: float) -> None:
        try:
            frame = decode_frame(payload)
        except UnknownVersion as error:
            logger.debug("chat_relay_version_unknown", error=str(error))
        except INVALID as error:
            logger.warning("chat_relay_frame_invalid", error=str(error), payload=repr(payload[:100]))
        else:
            if (frame.node, frame.start) != (self._node, self._start):
                self._take(frame, now)

    def expire(self, now: float) -> None:
        for node, peer in list(self._peers.items()):
            if now - peer.heard_at >= self._silent_seconds:
                logger.warning("chat_node_gone", node=node)
                self._died(node)

    def take_strangers(self) -> bool:
        """Whether a node was heard of which it is not known what it has told before."""
        had_strangers, self._has_strangers = self._has_strangers, False
        return had_strangers

    def stamps(self, node: str) -> Mapping[UUID, int]:
        """To be given to ``looked_up`` after the question was answered."""
        peer = self._peers.get(node)
        return dict(peer.stamps) if peer is not None else {}

    def looked_up(
        self,
        node: str,
        start: int,
        found: Mapping[UUID, bytes | None],
        stamps: Mapping[UUID, int],
        now: float,
    ) -> None:
        """What the node has told of rooms before. Of ``stamps``, what it told since then is newer."""
        peer = self._peer(node, start, now)
        if peer is None:
            return
        for room_id, encoded in found.items():
            if encoded is not None:
                self._guard(partial(self._take_presence, node, peer, room_id, encoded))
            elif room_id in peer.stamps and peer.stamps[room_id] == stamps.get(room_id):
                del peer.stamps[room_id]
                self._call(partial(self._sink.remote_presence, room_id, node, Presence()))

    def _take(self, frame: Frame, now: float) -> None:
        self._has_strangers |= frame.node not in self._peers
        peer = self._peer(frame.node, frame.start, now)
        if peer is not None:
            peer.heard_at = now
            if peer.number and frame.number <= peer.number:
                return
            has_gap = 0 < peer.number < frame.number - 1
            peer.number = frame.number
            if has_gap or frame.has_lost:
                logger.warning("chat_entries_missed", node=frame.node)
                self._call(self._sink.missed)
        for item in frame.items:
            if item.room_id in self._open:
                self._guard(partial(self._take_item, frame.node, peer, item))
        if peer is not None and frame.is_last:
            self._forget(frame.node)

    def _take_item(self, node: str, peer: _Peer | None, item: Item) -> None:
        room_id, body = item.room_id, item.body
        if item.kind == ENTRIES:
            self._call(partial(self._sink.remote_entries, room_id, decode_entries(room_id, body)))
        elif item.kind == BURST:
            self._call(partial(self._sink.remote_burst, room_id, decode_burst(body)))
        elif item.kind == TYPING:
            self._call(partial(self._sink.remote_typing, room_id, decode_typing(body)))
        elif item.kind == PRESENCE and peer is not None:
            self._take_presence(node, peer, room_id, body)

    def _take_presence(self, node: str, peer: _Peer, room_id: UUID, encoded: bytes | msgspec.Raw) -> None:
        stamp, presence = decode_presence(encoded)
        if room_id in self._open and stamp > peer.stamps.get(room_id, -1):
            peer.stamps[room_id] = stamp
            self._call(partial(self._sink.remote_presence, room_id, node, presence))

    def _peer(self, node: str, start: int, now: float) -> _Peer | None:
        """None for a start of the node that is over, or one node too many: its presence does not count."""
        peer = self._peers.get(node)
        if peer is not None and start > peer.start:
            self._died(node)
            peer = None
        if peer is None and len(self._peers) < MAX_PEERS:
            peer = self._peers[node] = _Peer(start, now)
        return peer if peer is not None and peer.start == start else None

    def _died(self, node: str) -> None:
        """Without a farewell: what it stored last, nobody may have been told of."""
        self._forget(node)
        self._call(self._sink.missed)

    def _forget(self, node: str) -> None:
        for room_id in self._peers.pop(node).stamps:
            self._call(partial(self._sink.remote_presence, room_id, node, Presence()))

    def _guard(self, take: Callable[[], None]) -> None:
        try:
            take()
        except UnknownVersion as error:
            logger.debug("chat_relay_version_unknown", error=str(error))
        except INVALID as error:
            logger.warning("chat_relay_item_invalid", error=str(error))

    def _call(self, tell: Callable[[], None]) -> None:
        """What the sink cannot bear must not end the relay."""
        try:
            tell()
        except Exception:
            logger.exception("chat_relay_sink_failed")
