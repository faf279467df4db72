"""The relay over Redis: what is sent, what is heard, and what is done while Redis is away."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from chat.presence import Presence
from chat.redis_relay.board import PresenceBoard
from chat.redis_relay.outbox import MAX_ENTRIES, Outbox
from chat.redis_relay.peers import SILENT_SECONDS, Peers
from chat.relay import RelaySink
from storage.redis_link import LOST, Persistence, connect, end_if_cancelled, next_message, words
from storage.repositories.chat_log import LoggedEntry

logger = structlog.get_logger("mediaserver.chat")

CHANNEL: Final = "mediaserver:chat"
LINK: Final = "chat_relay"
"""What the log calls it."""
CLOSE_TIMEOUT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Timing:
    """The same on all nodes."""

    tell_seconds: float = 1.0
    """Presence that changed is told so often."""
    refresh_seconds: float = 5.0
    """A node lets the others hear that it lives at least so often."""
    silent_seconds: float = SILENT_SECONDS
    """A node that is not heard of for so long is gone."""
    probe_seconds: float = 10.0
    """When Redis is silent for so long, it is asked whether it is there."""
    timeout_seconds: float = 2.0
    """Redis is taken for lost when it does not answer for so long."""


_TIMING: Final = Timing()


class RedisRelay:
    """Implements chat.relay.Relay in the Redis at ``url``.

    ``node`` names this node, and the same after each start, so that who starts again at once is not counted
    twice. ``listening`` is set while other nodes are heard. ``dropped`` counts what they were never told.
    """

    def __init__(self, url: str, node: str, timing: Timing = _TIMING, max_entries: int = MAX_ENTRIES) -> None:
        start = time.time_ns()
        self._redis = connect(url, timing.timeout_seconds)
        self._node, self._start = node, start
        self._timing = timing
        self._outbox = Outbox(node, start, max_entries)
        self._board = PresenceBoard(self._redis, node, start, self._outbox, timing.silent_seconds)
        self._open: set[UUID] = set()
        self._peers: Peers | None = None
        self._has_waiting = asyncio.Event()
        self.listening = asyncio.Event()

    @property
    def dropped(self) -> int:
        return self._outbox.dropped

    @property
    def waiting(self) -> int:
        """Entries that were not sent yet."""
        return self._outbox.waiting

    # What happens here

    def opened(self, room_id: UUID) -> None:
        self._open.add(room_id)
        if self._peers is not None:
            self._peers.opened(room_id)

    def closed(self, room_id: UUID) -> None:
        self._open.discard(room_id)
        self._board.closed(room_id)
        if self._peers is not None:
            self._peers.closed(room_id)

    def publish(self, entries: Sequence[LoggedEntry]) -> None:
        self._outbox.publish(entries)
        self._has_waiting.set()

    def burst(self, room_id: UUID, reactions: Mapping[str, int]) -> None:
        self._outbox.burst(room_id, reactions)
        self._has_waiting.set()

    def typing(self, room_id: UUID, people: Mapping[UUID, str]) -> None:
        self._outbox.typing(room_id, people)
        self._has_waiting.set()

    def presence(self, room_id: UUID, presence: Presence) -> None:
        if room_id not in self._open:
            return
        is_first = self._board.present(room_id, presence)
        if is_first and self._peers is not None:
            # The sink may not have known the room yet when others told of it.
            self._peers.forget_presence(room_id)

    async def elsewhere(self, room_id: UUID) -> Mapping[str, Presence]:
        try:
            async with asyncio.timeout(self._timing.timeout_seconds):
                return await self._board.look_up(room_id)
        except LOST as error:
            logger.warning("chat_presence_unknown", room_id=str(room_id), error=words(error))
            return {}

    # Tasks

    async def run(self, sink: RelaySink) -> None:
        """Relay until cancelled."""
        peers = self._peers = Peers(self._node, self._start, sink, self._timing.silent_seconds)
        for room_id in self._open:
            peers.opened(room_id)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen_always(peers))
            tasks.create_task(self._send_always())
            tasks.create_task(self._tell_always(peers))

    async def close(self) -> None:
        """Send what waits and take leave, if Redis lets us within a second."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                self._outbox.say_farewell()
                await self._send_waiting()
                await self._board.remove()
        except LOST as error:
            logger.warning("chat_relay_not_emptied", error=words(error), waiting=self.waiting)
        with suppress(*LOST):
            await self._redis.aclose()

    async def _listen_always(self, peers: Peers) -> None:
        persistence, timing = Persistence(LINK, "listening"), self._timing

        async def listen() -> None:
            async with self._redis.pubsub() as subscription:
                try:
                    async with asyncio.timeout(timing.timeout_seconds):
                        await subscription.subscribe(CHANNEL)
                    while True:
                        message = await next_message(
                            subscription, timing.probe_seconds, timing.timeout_seconds
                        )
                        if message["type"] == "subscribe":
                            # Comes again when the client has connected again by itself.
                            persistence.succeeded()
                            self._began_to_listen(peers)
                        elif message["type"] == "message":
                            peers.received(message["data"], _now())
                            # Much that comes at once must not hold up everything else.
                            await asyncio.sleep(0)
                finally:
                    self.listening.clear()

        await persistence.run(listen)

    def _began_to_listen(self, peers: Peers) -> None:
        peers.began_to_listen()
        self._board.tell_all_again()
        self._board.read_all_again()
        self.listening.set()

    async def _send_always(self) -> None:
        persistence = Persistence(LINK, "sending", on_loss=self._outbox.forget_fleeting)

        async def send() -> None:
            while True:
                self._has_waiting.clear()
                await self._send_waiting()
                persistence.succeeded()
                await self._has_waiting.wait()

        await persistence.run(send)

    async def _send_waiting(self) -> None:
        while (frame := self._outbox.next_frame()) is not None:
            async with asyncio.timeout(self._timing.timeout_seconds):
                await self._redis.publish(CHANNEL, frame)
            self._outbox.sent()
            end_if_cancelled()

    async def _tell_always(self, peers: Peers) -> None:
        persistence = Persistence(LINK, "presence")

        async def tell() -> None:
            refresh_at = 0.0
            while True:
                peers.expire(_now())
                if _now() >= refresh_at:
                    refresh_at = _now() + self._timing.refresh_seconds
                    await self._board.refresh()
                await self._board.write()
                self._has_waiting.set()
                if peers.take_strangers():
                    self._board.read_all_again()
                await self._board.read(peers, _now())
                end_if_cancelled()
                persistence.succeeded()
                await asyncio.sleep(self._timing.tell_seconds)

        await persistence.run(tell)


def _now() -> float:
    return asyncio.get_running_loop().time()
