"""The bus between nodes: what one of them publishes, told to the others over a channel of Redis.

Rules:

* Publishing never waits. What is to be told stands in a bounded queue; a full one drops the oldest.
* What could not be sent is sent again, and each event has a number: whoever gets it twice ignores it the
  second time, and whoever sees a number left out knows that something was lost.
* Redis keeps nothing for those who do not listen. So ``ChangesMissed`` is published on this node whenever it
  begins to listen, and when a number of another node was left out.
* What is on the channel may come from an older or a newer version, or from anybody: whatever is not
  understood is logged and ignored.
"""

import asyncio
import itertools
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

import msgspec
import structlog

from storage.bus import RELAYED, Bus, ChangesMissed, Event
from storage.redis_link import LOST, Persistence, connect, end_if_cancelled, next_message, words

logger = structlog.get_logger("mediaserver.storage")

CHANNEL: Final = "mediaserver:bus"
MAX_WAITING: Final = 10_000
BATCH: Final = 256
TIMEOUT_SECONDS: Final = 2.0
PROBE_SECONDS: Final = 10.0
CLOSE_TIMEOUT_SECONDS: Final = 1.0
MAX_NODES: Final = 1000
"""Of how many nodes it is remembered what came last; each start of a server is a node of its own."""

_KINDS: Final = {kind.__name__: kind for kind in RELAYED}


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """What is on the channel. ``number`` counts the events of ``node`` from 1; ``fields`` are the event's."""

    node: Annotated[str, msgspec.Meta(max_length=64)]
    number: int
    kind: str
    fields: msgspec.Raw


@dataclass(frozen=True, slots=True)
class _Waiting:
    number: int
    frame: bytes


class BusRelay:
    """Forwards the RELAYED events of ``bus``, and hands those of other nodes to its handlers.

    ``run`` is the one task; ``listening`` is set while a connection listens. ``dropped`` counts the events
    that other nodes never heard of.
    """

    def __init__(self, url: str, bus: Bus, max_waiting: int = MAX_WAITING) -> None:
        self._redis: Any = connect(url, TIMEOUT_SECONDS)
        self._bus = bus
        # Not the data directory's id: the numbers begin anew with each start.
        self._node = secrets.token_urlsafe(12)
        self._numbers = itertools.count(1)
        self._waiting: deque[_Waiting] = deque(maxlen=max_waiting)
        self._has_waiting = asyncio.Event()
        self._last_numbers: OrderedDict[str, int] = OrderedDict()
        # Nodes of which anything may have been missed while this one did not listen; that was told already.
        self._silent_gaps: set[str] = set()
        self._is_dropping = False
        self.dropped = 0
        self.listening = asyncio.Event()
        for kind in RELAYED:
            bus.subscribe(kind, self._published)

    async def run(self) -> None:
        """Relay until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for what, work in {"listening": self._listen, "sending": self._send_all}.items():
                persistence = Persistence("bus", what)
                tasks.create_task(persistence.run(partial(work, persistence.succeeded)))

    async def close(self) -> None:
        """Send what waits, if Redis lets us within a second. Call it when ``run`` has ended."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                while self._waiting:
                    await self._send_batch()
        except LOST as error:
            logger.warning("bus_events_not_sent", error=words(error), waiting=len(self._waiting))
        with suppress(*LOST):
            await self._redis.aclose()

    def _published(self, event: Event) -> None:
        fields = msgspec.msgpack.encode(event)
        number = next(self._numbers)
        frame = Frame(self._node, number, type(event).__name__, msgspec.Raw(fields))
        if len(self._waiting) == self._waiting.maxlen:
            self._note_drop()
        self._waiting.append(_Waiting(number, msgspec.msgpack.encode(frame)))
        self._has_waiting.set()

    def _note_drop(self) -> None:
        self.dropped += 1
        if not self._is_dropping:
            logger.error("bus_events_dropped", waiting=len(self._waiting))
        self._is_dropping = True

    async def _send_all(self, connected: Callable[[], None]) -> None:
        while True:
            self._has_waiting.clear()
            while self._waiting:
                await self._send_batch()
                end_if_cancelled()
                connected()
            self._is_dropping = False
            await self._has_waiting.wait()

    async def _send_batch(self) -> None:
        batch = list(itertools.islice(self._waiting, BATCH))
        async with asyncio.timeout(TIMEOUT_SECONDS), self._redis.pipeline(transaction=False) as pipeline:
            for each in batch:
                pipeline.publish(CHANNEL, each.frame)
            await pipeline.execute()
        # Some of the batch may have been dropped for newer ones in the meantime.
        while self._waiting and self._waiting[0].number <= batch[-1].number:
            self._waiting.popleft()

    async def _listen(self, connected: Callable[[], None]) -> None:
        async with self._redis.pubsub() as subscription:
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await subscription.subscribe(CHANNEL)
                while True:
                    self._take(await next_message(subscription, PROBE_SECONDS, TIMEOUT_SECONDS), connected)
            finally:
                self.listening.clear()

    def _take(self, message: dict[str, Any], connected: Callable[[], None]) -> None:
        if message["type"] == "subscribe":
            # Comes again when the client has connected again by itself.
            connected()
            self._silent_gaps = set(self._last_numbers)
            self._bus.publish(ChangesMissed())
            self.listening.set()
        elif message["type"] == "message":
            self._received(message["data"])

    def _received(self, payload: bytes) -> None:
        try:
            frame = msgspec.msgpack.decode(payload, type=Frame)
            if frame.node == self._node or self._is_repeated(frame):
                return
            kind = _KINDS.get(frame.kind)
            if kind is None:
                logger.debug("bus_event_unknown", event_kind=frame.kind[:50])
                return
            event = msgspec.msgpack.decode(frame.fields, type=kind)
        except (ValueError, RecursionError) as error:
            logger.warning("bus_message_invalid", error=str(error), payload=repr(payload[:100]))
        else:
            self._bus.publish_from_elsewhere(event)

    def _is_repeated(self, frame: Frame) -> bool:
        """Notes the number; a gap before it is told to this node."""
        last = self._last_numbers.get(frame.node)
        if last is not None and frame.number <= last:
            return True
        self._last_numbers[frame.node] = frame.number
        self._last_numbers.move_to_end(frame.node)
        if len(self._last_numbers) > MAX_NODES:
            self._last_numbers.popitem(last=False)
        is_told = frame.node in self._silent_gaps
        self._silent_gaps.discard(frame.node)
        if last is not None and frame.number > last + 1 and not is_told:
            logger.warning("bus_events_missed", node=frame.node, count=frame.number - last - 1)
            self._bus.publish(ChangesMissed())
        return False
