"""Which packagers there are: one per live room, MPEG-TS where asked for, and those that ended lately."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.hls.packager import HlsPackager
from mediaserver.delivery.hls.ts_packager import TsPackager
from mediaserver.delivery.live import unchanged
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import Stream

logger = structlog.get_logger("mediaserver.hls")

OUTPUT_NAME: Final = "hls"
TS_OUTPUT_NAME: Final = "hls-ts"
SWEEP_SECONDS: Final = 1.0
MAX_ENDED: Final = 64
"""Ended streams kept at most: players learn from the last playlist that it is over, and play the rest."""


@dataclass(slots=True)
class _Room:
    """The packagers of one live stream."""

    stream: Stream
    hls: HlsPackager
    ts: TsPackager | None = None


class HlsDirectory:
    """A HubListener that packages streams: from their start, or from when somebody asks first.

    One timer runs for all of them together while there are any.
    """

    def __init__(self, hub: Hub, options: HlsOptions) -> None:
        self.options: Final = options
        self.as_aac: Callable[[Stream], Stream] = unchanged
        """Gives the stream that is packaged; not every player of HLS knows Opus."""
        self._hub = hub
        self._live: dict[str, _Room] = {}
        self._ended: deque[tuple[float, str, HlsPackager]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    # HubListener

    def started(self, room_id: str) -> None:
        if self.options.always:
            self._package(room_id)

    def ended(self, room_id: str, reason: str) -> None:
        room = self._live.pop(room_id, None)
        if room is not None:
            self._ended.append((asyncio.get_running_loop().time(), room_id, room.hls))
            if len(self._ended) > MAX_ENDED:
                self._forget_oldest()

    @contextmanager
    def moving(self, stream: Stream) -> Iterator[None]:
        """Within the block, ``stream`` becomes one whose sound players may not know.

        Its packagers, and so all who watch by HLS, go over to what ``as_aac`` then says.
        """
        room = self._live.get(stream.room_id)
        if room is None or room.stream is not stream:
            yield
            return
        taken = {name: stream.take(name) for name in (OUTPUT_NAME, TS_OUTPUT_NAME)}
        try:
            yield
        finally:
            room.stream = self.as_aac(stream)
            for name, packager in taken.items():
                if packager is not None:
                    room.stream.give(name, packager)

    # Asking

    def packagers(self) -> list[HlsPackager]:
        """Those of live streams."""
        return [room.hls for room in self._live.values()]

    def find(self, room_id: str) -> HlsPackager | None:
        """The packager of the room's stream, started on first demand, or else the one that ended last."""
        self._package(room_id)
        return next(self._of_room(room_id), None)

    def find_session(self, room_id: str, session_name: str) -> HlsPackager | None:
        """The packager of that session, if it is this room's."""
        return next((p for p in self._of_room(room_id) if p.session_name == session_name), None)

    def transport_stream(self, room_id: str) -> TsPackager | None:
        """The room's packager for players that know only MPEG-TS, started on first demand."""
        room = self._package(room_id)
        if room is None:
            return None
        loop = asyncio.get_running_loop()
        room.ts = room.stream.shared(TS_OUTPUT_NAME, lambda: TsPackager(self.options, loop.time))
        room.ts.touch()
        return room.ts

    def find_transport_stream(self, room_id: str) -> TsPackager | None:
        """The room's packager for MPEG-TS, if it was started."""
        room = self._live.get(room_id)
        return room.ts if room is not None else None

    def viewers(self, room_id: str) -> int:
        """An estimate of how many watch the room over HLS now."""
        room = self._live.get(room_id)
        if room is None:
            return 0
        return room.hls.viewer_count + (room.ts.viewer_count if room.ts is not None else 0)

    def viewers_by_all_doors(self, room_id: str) -> int:
        """Everyone who watches the room now, over HLS or not."""
        stream = self._hub.find(room_id)
        return stream.viewer_count if stream is not None else 0

    def sweep(self, now: float) -> None:
        """Let everything that waits or lingers notice the time (of the loop)."""
        for room_id, room in self._live.items():
            try:
                self._sweep_room(room, now)
            except Exception:
                logger.exception("hls_sweep_failed", room_id=room_id)
        while self._ended and self._ended[0][0] + self.options.linger <= now:
            self._forget_oldest()

    def close(self) -> None:
        """Forget everything. The hub ends the streams."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._live.clear()
        self._ended.clear()

    def _package(self, room_id: str) -> _Room | None:
        """The room's packagers if it is live; started with the packets since the last keyframe."""
        room = self._live.get(room_id)
        live = self._hub.find_live(room_id)
        if live is None or (room is not None and not room.hls.is_ended):
            return room
        stream = self.as_aac(live)
        loop = asyncio.get_running_loop()
        if room is not None:  # its packager failed and was taken off the stream
            self._ended.append((loop.time(), room_id, room.hls))
        packager = stream.shared(OUTPUT_NAME, lambda: HlsPackager(room_id, self.options, loop.time))
        room = self._live[room_id] = _Room(stream, packager)
        self._sweep_later()
        return room

    def _of_room(self, room_id: str) -> Iterator[HlsPackager]:
        room = self._live.get(room_id)
        if room is not None:
            yield room.hls
        for _, ended_id, packager in reversed(self._ended):
            if ended_id == room_id:
                yield packager

    def _forget_oldest(self) -> None:
        _, _, packager = self._ended.popleft()
        packager.forget()

    @staticmethod
    def _sweep_room(room: _Room, now: float) -> None:
        room.hls.sweep(now)
        if room.ts is not None and room.ts.sweep(now):
            room.stream.detach(room.ts)
            room.ts = None

    def _sweep_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep_and_go_on)

    def _sweep_and_go_on(self) -> None:
        self._timer = None
        self.sweep(asyncio.get_running_loop().time())
        if self._live or self._ended:
            self._sweep_later()
