"""Which packagers there are: one per live room, and those that ended a moment ago."""

import asyncio
from collections import deque
from typing import Final

from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.hls.packager import HlsPackager
from mediaserver.delivery.hls.ts_packager import TsPackager
from mediaserver.hub.hub import Hub

OUTPUT_NAME: Final = "hls"
TS_OUTPUT_NAME: Final = "hls-ts"
KEEP_ENDED_SECONDS: Final = 30.0
"""Players learn from the last playlist that the stream is over, and play what they still miss."""
MAX_ENDED: Final = 100


class HlsDirectory:
    """A HubListener that packages every stream from its start."""

    def __init__(self, hub: Hub, options: HlsOptions) -> None:
        self._hub = hub
        self._options = options
        self._current: dict[str, HlsPackager] = {}
        self._ended: deque[tuple[float, str, HlsPackager]] = deque(maxlen=MAX_ENDED)

    def started(self, room_id: str) -> None:
        stream = self._hub.find(room_id)
        if stream is not None:
            self._current[room_id] = stream.shared(OUTPUT_NAME, lambda: HlsPackager(self._options))

    def ended(self, room_id: str, reason: str) -> None:
        packager = self._current.pop(room_id, None)
        if packager is not None:
            loop = asyncio.get_running_loop()
            self._ended.append((loop.time(), room_id, packager))
            loop.call_later(KEEP_ENDED_SECONDS + 1, self._recent)

    def packagers(self) -> list[HlsPackager]:
        """Those of live streams."""
        return list(self._current.values())

    def current(self, room_id: str) -> HlsPackager | None:
        """The packager of the room's stream, or the one that ended last."""
        if room_id in self._current:
            return self._current[room_id]
        return next((p for _, room, p in reversed(self._recent()) if room == room_id), None)

    def find_session(self, room_id: str, session: str) -> HlsPackager | None:
        """The packager called ``session`` if it is this room's."""
        current = self.current(room_id)
        if current is not None and current.session == session:
            return current
        return next((p for _, room, p in self._recent() if room == room_id and p.session == session), None)

    def transport_stream(self, room_id: str) -> TsPackager | None:
        """The room's packager for players that know only MPEG-TS, started on first demand."""
        stream = self._hub.find_live(room_id)
        if stream is None:
            return None
        return stream.shared(TS_OUTPUT_NAME, lambda: TsPackager(stream, self._options))

    def _recent(self) -> "deque[tuple[float, str, HlsPackager]]":
        now = asyncio.get_running_loop().time()
        while self._ended and self._ended[0][0] < now - KEEP_ENDED_SECONDS:
            self._ended.popleft()
        return self._ended
