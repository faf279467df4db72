"""Viewers whom the router serves alone are counted with the others."""

from mediaserver.gateways.webrtc_audience import AUDIENCE_OUTPUT, WebRtcAudience
from mediaserver.hub.hub import Hub
from tests.helpers.media import VIDEO


class Someone:
    """A publisher that is never asked for anything."""

    def replaced(self) -> None: ...

    def kicked(self, reason: str) -> None: ...


async def test_viewers_of_the_router_are_viewers_of_the_stream() -> None:
    hub, viewers = Hub(grace_seconds=0), {"room": 3}
    WebRtcAudience(hub, lambda room_id: viewers.get(room_id, 0))
    publisher = Someone()
    stream = hub.open("room", publisher)
    hub.set_tracks(stream, (VIDEO,), {})
    assert stream.viewer_count == 3
    assert stream.viewers_by_output() == {AUDIENCE_OUTPUT: 3}
    viewers["room"] = 1
    assert stream.viewer_count == 1
    hub.release("room", publisher, is_clean=True)
    assert hub.find("room") is None
