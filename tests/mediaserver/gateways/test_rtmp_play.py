"""Players over RTMP: who is let in, and who is sent away."""

import asyncio
from typing import Final
from uuid import UUID

import pytest

from mediaserver.authorizer import ROOM_FULL, WatchGrant
from mediaserver.delivery.broadcast import BroadcastOptions
from mediaserver.delivery.live import LiveDelivery
from mediaserver.gateways.rtmp_play import RtmpPlayback
from mediaserver.hub.gop_cache import GopCacheLimits
from mediaserver.hub.hub import Hub
from rtmp.ports import PlaybackSession, PlayGrant
from tests.mediaserver.delivery.hls.streams import VIDEO

ROOM: Final = "room"
ANNA: Final = UUID(int=1)


class SilentPublisher:
    def replaced(self) -> None: ...

    def kicked(self, reason: str) -> None: ...


class NullTransport(asyncio.WriteTransport):
    def write(self, data: object) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


class Player:
    """A ``PlayerConnection`` that tells its session of the end at once, as the server's does."""

    address = "192.0.2.1"
    message_stream_id = 1

    def __init__(self) -> None:
        self.transport: Final = NullTransport()
        self.closed_with: list[str] = []
        self.session: PlaybackSession | None = None

    def close(self, code: str, description: str) -> None:
        self.closed_with.append(code)
        if self.session is not None:
            self.session.closed()


@pytest.fixture
async def delivery() -> LiveDelivery:
    hub = Hub()
    stream = hub.open(ROOM, SilentPublisher())
    hub.set_tracks(stream, (VIDEO,), {})
    return LiveDelivery(hub, BroadcastOptions(), GopCacheLimits())


def play(delivery: LiveDelivery, grant: PlayGrant) -> Player:
    player = Player()
    player.session = RtmpPlayback(delivery).open(grant, player)
    return player


async def test_a_player_stands_on_its_grant(delivery: LiveDelivery):
    anna, nobody = play(delivery, WatchGrant(ROOM, ANNA)), play(delivery, PlayGrant(ROOM))
    assert delivery.sessions.users(ROOM) == [ANNA, None]
    delivery.sessions.close(ROOM, [ANNA])
    assert anna.closed_with == ["NetStream.Play.Failed"]
    assert nobody.closed_with == []
    assert delivery.sessions.users(ROOM) == [None]
    assert delivery.viewers == 1


async def test_who_leaves_is_forgotten(delivery: LiveDelivery):
    player = play(delivery, WatchGrant(ROOM, ANNA))
    assert player.session is not None
    player.session.closed()
    assert len(delivery.sessions) == delivery.viewers == 0


async def test_a_full_room_takes_no_more(delivery: LiveDelivery):
    playback = RtmpPlayback(delivery)
    assert playback.refusal(WatchGrant(ROOM, None, 1)) is None
    play(delivery, WatchGrant(ROOM, None, 1))
    assert playback.refusal(WatchGrant(ROOM, ANNA, 1)) == ROOM_FULL
    assert playback.refusal(WatchGrant(ROOM, ANNA, None)) is None
    assert playback.refusal(PlayGrant(ROOM)) is None
