"""Participants of ``/rtc`` who receive something are viewers, of all and of their room."""

from collections.abc import Callable
from typing import Final

from mediaserver.delivery.broadcast import BroadcastCounters
from mediaserver.delivery.live import LiveDelivery
from sfu.room_errors import Refusal
from sfu.room_ports import Grants

PROTOCOL: Final = "rtc"
RETRY_SECONDS: Final = 10.0


class RtcAudience:
    """Implements sfu.room_ports.Audience.

    ``is_apart`` tells whether the hub knows nothing of a room's participants: of a stream that comes over
    WebRTC. What the hub hands to the router it counts itself.
    """

    def __init__(self, live: LiveDelivery, is_apart: Callable[[str], bool]) -> None:
        self._live = live
        self._is_apart = is_apart
        self._counters = live.counters.setdefault(PROTOCOL, BroadcastCounters())
        self._rooms: dict[str, int] = {}

    def watch(self, grants: Grants) -> Callable[[], None]:
        if self._live.is_full:
            raise Refusal("server_full", "The server has as many viewers as it may.", RETRY_SECONDS)
        room_id = grants.room_id
        if grants.max_viewers is not None and self._viewers(room_id) >= grants.max_viewers:
            raise Refusal("room_full", "The room has as many viewers as it may.", RETRY_SECONDS)
        self._counters.viewers += 1
        self._counters.viewers_joined += 1
        self._rooms[room_id] = self._rooms.get(room_id, 0) + 1
        return lambda: self._left(room_id)

    def _left(self, room_id: str) -> None:
        self._counters.viewers -= 1
        self._rooms[room_id] -= 1
        if not self._rooms[room_id]:
            del self._rooms[room_id]

    def _viewers(self, room_id: str) -> int:
        stream = self._live.hub.find(room_id)
        counted = stream.viewer_count if stream is not None else 0
        watching = self._rooms.get(room_id, 0)
        return counted + watching if self._is_apart(room_id) else max(counted, watching)
