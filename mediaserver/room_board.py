"""How the rooms are doing, for the pages: the hub's streams beside what the database says of their rooms.

Rules:

* Everything about one room is answered from memory.
* The list is made at most once per LIST_SECONDS, however many ask; while the database hangs, the last one
  stands.
* A room whose broadcast ended less than ENDED_SECONDS ago says so; after that it waits for the next one.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from mediaserver.authorizer import Authorizer, RoomAccess
from mediaserver.delivery.pages import AudioStatus, LiveEdge, RoomState, RoomStatus, VideoStatus
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import Stream, StreamState
from mediaserver.media.codecs import AudioDescription, VideoDescription, describe, primary
from mediaserver.media.errors import CodecConfigError
from mediaserver.media.packet import Track, TrackKind

ENDED_SECONDS: Final = 600.0
MAX_ENDED: Final = 10_000
LIST_SECONDS: Final = 1.0
LIST_TIMEOUT_SECONDS: Final = 2.0
MAX_LISTED: Final = 200


def _now() -> datetime:
    return datetime.now(UTC)


class HubRoomBoard:
    """Implements mediaserver.delivery.pages.RoomBoard and mediaserver.hub.hub.HubListener."""

    def __init__(self, hub: Hub, authorizer: Authorizer, now: Callable[[], datetime] = _now) -> None:
        self._hub = hub
        self._authorizer = authorizer
        self._now = now
        self._started: dict[str, datetime] = {}
        self._ended: dict[str, datetime] = {}
        self._listing = asyncio.Lock()
        self._list: Sequence[RoomStatus] = ()
        self._listed_at: datetime | None = None
        hub.add_listener(self)

    def started(self, room_id: str) -> None:
        self._ended.pop(room_id, None)
        self._started[room_id] = self._now()

    def ended(self, room_id: str, reason: str) -> None:
        self._started.pop(room_id, None)
        self._ended[room_id] = self._now()
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def status(self, room: RoomAccess) -> RoomStatus:
        stream = self._hub.find_live(room.room_id)
        if stream is None:
            return RoomStatus(room, self._state_without_stream(room.room_id))
        return RoomStatus(
            room,
            RoomState.INTERRUPTED if stream.state is StreamState.INTERRUPTED else RoomState.LIVE,
            stream.viewer_count,
            self._started.get(room.room_id),
            _video_status(stream),
            _audio_status(stream),
            stream.statistics.figures().bitrate,
            _live_edge(stream, asyncio.get_running_loop().time()),
        )

    async def listed(self) -> Sequence[RoomStatus]:
        async with self._listing:
            now = self._now()
            if self._listed_at is None or not 0 <= (now - self._listed_at).total_seconds() < LIST_SECONDS:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LIST_TIMEOUT_SECONDS):
                        self._list = await self._make_list()
                self._listed_at = self._now()
            return self._list

    async def _make_list(self) -> Sequence[RoomStatus]:
        live = [stream for stream in self._hub.streams() if stream.tracks]
        live.sort(key=lambda stream: stream.viewer_count, reverse=True)
        rooms: list[RoomStatus] = []
        for first in range(0, len(live), MAX_LISTED):
            streams = live[first : first + MAX_LISTED]
            access = await asyncio.gather(
                *(self._authorizer.may_watch(stream.room_id, None, "") for stream in streams)
            )
            rooms += [self.status(r) for r in access if isinstance(r, RoomAccess) and r.is_listed]
            if len(rooms) >= MAX_LISTED:
                break
        return rooms[:MAX_LISTED]

    def _state_without_stream(self, room_id: str) -> RoomState:
        ended_at = self._ended.get(room_id)
        if ended_at is None or self._now() - ended_at > timedelta(seconds=ENDED_SECONDS):
            return RoomState.WAITING
        return RoomState.ENDED


def _video_status(stream: Stream) -> VideoStatus | None:
    described = _described(primary(stream.tracks, TrackKind.VIDEO))
    if not isinstance(described, VideoDescription):
        return None
    rate = stream.statistics.figures().frame_rate
    return VideoStatus(described.codec_string, described.width, described.height, rate)


def _audio_status(stream: Stream) -> AudioStatus | None:
    described = _described(primary(stream.tracks, TrackKind.AUDIO))
    if not isinstance(described, AudioDescription):
        return None
    return AudioStatus(described.codec_string, described.sample_rate, described.channels)


def _live_edge(stream: Stream, now: float) -> LiveEdge | None:
    newest = stream.statistics.newest
    if newest is None or stream.state is not StreamState.LIVE:
        return None
    return LiveEdge(newest.dts / newest.track.clock_rate, now - newest.received_at)


def _described(track: Track | None) -> VideoDescription | AudioDescription | None:
    try:
        return describe(track) if track is not None else None
    except CodecConfigError:
        return None
