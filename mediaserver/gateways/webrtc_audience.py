"""Those who watch over WebRTC what is published over WebRTC: counted by the hub, fed by the router."""

from collections.abc import Callable, Sequence
from typing import Final

from mediaserver.hub.hub import Hub
from mediaserver.hub.ports import Metadata
from mediaserver.media.packet import MediaPacket, Track

AUDIENCE_OUTPUT: Final = "whep"


class WebRtcAudience:
    """Implements ``hub.hub.HubListener``. ``count`` tells how many are served by a room's router alone."""

    def __init__(self, hub: Hub, count: Callable[[str], int]) -> None:
        self._hub = hub
        self._count = count
        hub.add_listener(self)

    def started(self, room_id: str) -> None:
        stream = self._hub.find(room_id)
        if stream is not None:
            stream.shared(AUDIENCE_OUTPUT, lambda: _Viewers(room_id, self._count))

    def ended(self, room_id: str, reason: str) -> None:
        """Its outputs end with the stream."""


class _Viewers:
    """Implements ``hub.ports.Output``; takes no media."""

    def __init__(self, room_id: str, count: Callable[[str], int]) -> None:
        self._room_id = room_id
        self._count = count

    @property
    def viewer_count(self) -> int:
        return self._count(self._room_id)

    def on_tracks(self, tracks: Sequence[Track], metadata: Metadata) -> None: ...

    def on_packet(self, packet: MediaPacket) -> None: ...

    def on_interrupted(self) -> None: ...

    def on_end(self) -> None: ...
