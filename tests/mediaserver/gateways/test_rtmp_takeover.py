"""Who takes over a room has to send something."""

import pytest

from mediaserver.gateways.rtmp_ingest import KICKED
from mediaserver.hub import hub
from tests.helpers.waiting import eventually
from tests.mediaserver.gateways.rtmp_publishing import ROOM, Room


@pytest.mark.parametrize("is_takeover", [True, False])
async def test_whoever_sends_headers_alone_is_closed_and_the_stream_ends(
    monkeypatch: pytest.MonkeyPatch, is_takeover: bool
) -> None:
    monkeypatch.setattr(hub, "FIRST_MEDIA_SECONDS", 0.05)
    room = Room()
    room.hub.grace_seconds = 0.05
    first = room.publisher()
    first.begin()
    if not is_takeover:
        first.publication.closed(is_clean=False)
    silent = room.publisher()
    silent.video_config()
    await eventually(lambda: room.output.states == ["interrupted", "ended"])
    assert silent.connection.closed_with == [(KICKED, "no media came in time")]
    assert room.hub.find(ROOM) is None
    silent.picture(40, is_keyframe=True)
    assert room.hub.find(ROOM) is None
    assert room.output.states == ["interrupted", "ended"]
