"""The hub: which rooms are live, who publishes them, and who waits for them.

Rules:

* One publisher per room. A second one takes over: the first is told, the stream and its viewers stay.
* A publisher that drops leaves its stream in a grace window; one that says goodbye ends it at once. One that
  takes over or resumes has as long for its first media, or loses the stream.
* Everything here is synchronous but ``wait_live``; all of it runs on the event loop's thread.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from mediaserver.hub.gop_cache import GopCacheLimits
from mediaserver.hub.ports import Metadata
from mediaserver.hub.stream import Stream, StreamState
from mediaserver.media.packet import Track

FIRST_MEDIA_SECONDS: Final = 5.0
"""However short the grace window is: an encoder that just begins may need so long."""

logger = structlog.get_logger("mediaserver.hub")


class Publisher(Protocol):
    """Whoever publishes a stream, as the hub sees it."""

    def replaced(self) -> None:
        """Another publisher of the same room took over; nothing more is taken from this one."""

    def kicked(self, reason: str) -> None:
        """The stream is ended by the server (key rotated, owner banned, drain)."""


class HubListener(Protocol):
    """Told of every start and end, once each; a resumed stream is the same stream."""

    def started(self, room_id: str) -> None: ...

    def ended(self, room_id: str, reason: str) -> None: ...


class Hub:
    """Streams by room id."""

    def __init__(self, grace_seconds: float = 10.0, gop_cache: GopCacheLimits | None = None) -> None:
        self.grace_seconds = grace_seconds
        self._gop_cache = gop_cache or GopCacheLimits()
        self._streams: dict[str, Stream] = {}
        self._publishers: dict[str, Publisher] = {}
        self._grace_timers: dict[str, asyncio.TimerHandle] = {}
        self._waiting: dict[str, set[asyncio.Future[Stream]]] = {}
        self._listeners: list[HubListener] = []

    def add_listener(self, listener: HubListener) -> None:
        self._listeners.append(listener)

    def streams(self) -> Sequence[Stream]:
        return list(self._streams.values())

    def find(self, room_id: str) -> Stream | None:
        """The room's stream, whatever its state but ended."""
        return self._streams.get(room_id)

    def find_live(self, room_id: str) -> Stream | None:
        """The room's stream if viewers can join it: its tracks are known (it may be interrupted)."""
        stream = self._streams.get(room_id)
        return stream if stream is not None and stream.tracks else None

    def open(self, room_id: str, publisher: Publisher) -> Stream:
        """Make ``publisher`` the one of the room: a new stream, a resumed one, or a takeover."""
        self._cancel_grace(room_id)
        previous = self._publishers.get(room_id)
        self._publishers[room_id] = publisher
        stream = self._streams.get(room_id)
        if stream is None:
            stream = self._streams[room_id] = Stream(room_id, self._gop_cache)
        elif previous is not None:
            logger.info("publisher_replaced", room_id=room_id)
            stream.interrupt()
            previous.replaced()
        if stream.state is StreamState.INTERRUPTED:
            self._start_grace(room_id, max(self.grace_seconds, FIRST_MEDIA_SECONDS))
        return stream

    def set_tracks(self, stream: Stream, tracks: Sequence[Track], metadata: Metadata) -> None:
        """Announce a stream's tracks; the first time makes it live and wakes those who wait for it."""
        if stream.state is StreamState.ENDED:
            return
        self._cancel_grace(stream.room_id)
        is_first = not stream.tracks
        stream.set_tracks(tracks, metadata)
        if is_first and stream.tracks:
            for listener in self._listeners:
                listener.started(stream.room_id)
            for future in self._waiting.get(stream.room_id, ()):
                if not future.done():
                    future.set_result(stream)

    def release(self, room_id: str, publisher: Publisher, is_clean: bool) -> None:
        """The publisher is gone. Ignored if it is no longer the room's publisher."""
        if self._publishers.get(room_id) is not publisher:
            return
        del self._publishers[room_id]
        stream = self._streams[room_id]
        if is_clean or not stream.tracks or self.grace_seconds <= 0:
            self._end(room_id, "publisher stopped" if is_clean else "publisher lost")
            return
        stream.interrupt()
        self._start_grace(room_id, self.grace_seconds)

    def kick(self, room_id: str, reason: str) -> bool:
        """End the room's stream and its publisher's session; say whether there was one."""
        publisher = self._publishers.pop(room_id, None)
        is_known = room_id in self._streams
        if publisher is not None:
            publisher.kicked(reason)
        self._end(room_id, reason)
        return is_known

    async def wait_live(self, room_id: str, seconds: float) -> Stream | None:
        """The room's stream, once viewers can join it, or None after ``seconds``."""
        stream = self.find_live(room_id)
        if stream is not None or seconds <= 0:
            return stream
        future: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(room_id, set())
        waiting.add(future)
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return None
        finally:
            waiting.discard(future)
            if not waiting:
                self._waiting.pop(room_id, None)

    def close(self) -> None:
        """End every stream."""
        for room_id in list(self._streams):
            self.kick(room_id, "server stopped")

    def _start_grace(self, room_id: str, seconds: float) -> None:
        self._cancel_grace(room_id)
        self._grace_timers[room_id] = asyncio.get_running_loop().call_later(seconds, self._lose, room_id)

    def _lose(self, room_id: str) -> None:
        """The grace window is over: nobody publishes, or somebody who sends nothing."""
        publisher = self._publishers.pop(room_id, None)
        if publisher is not None:
            logger.warning("publisher_silent", room_id=room_id)
            publisher.kicked("no media came in time")
        self._end(room_id, "publisher lost")

    def _cancel_grace(self, room_id: str) -> None:
        timer = self._grace_timers.pop(room_id, None)
        if timer is not None:
            timer.cancel()

    def _end(self, room_id: str, reason: str) -> None:
        self._cancel_grace(room_id)
        stream = self._streams.pop(room_id, None)
        if stream is None or stream.state is StreamState.ENDED:
            return
        was_live = bool(stream.tracks)
        stream.end()
        if was_live:
            for listener in self._listeners:
                listener.ended(room_id, reason)
