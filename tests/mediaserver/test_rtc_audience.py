"""Participants of /rtc take places of viewers, as those of the other doors do."""

from collections.abc import Sequence

import pytest

from mediaserver.delivery.broadcast import BroadcastOptions
from mediaserver.delivery.live import LiveDelivery
from mediaserver.hub.gop_cache import GopCacheLimits
from mediaserver.hub.hub import Hub
from mediaserver.hub.ports import Metadata
from mediaserver.media.packet import MediaPacket, Track
from mediaserver.rtc_audience import RtcAudience
from sfu.room_errors import Refusal
from sfu.room_ports import Grants

ROOM = "01990000-0000-7000-8000-000000000001"


class Viewers:
    """An output with so many viewers."""

    def __init__(self, count: int) -> None:
        self.viewer_count = count

    def on_tracks(self, tracks: Sequence[Track], metadata: Metadata) -> None: ...

    def on_packet(self, packet: MediaPacket) -> None: ...

    def on_interrupted(self) -> None: ...

    def on_end(self) -> None: ...


class Publisher:
    def replaced(self) -> None: ...

    def kicked(self, reason: str) -> None: ...


class World:
    def __init__(self) -> None:
        self.hub = Hub()
        self.live = LiveDelivery(self.hub, BroadcastOptions(), GopCacheLimits())
        self.is_apart = True
        self.audience = RtcAudience(self.live, lambda room_id: self.is_apart)

    def refusal(self, grants: Grants) -> str:
        with pytest.raises(Refusal) as refused:
            self.audience.watch(grants)
        assert refused.value.retry_after
        return refused.value.code


def grants(most: int | None = None, room_id: str = ROOM) -> Grants:
    return Grants(room_id, "guest:1", "Guest", is_guest=True, max_viewers=most)


def test_places_are_those_of_all_doors() -> None:
    world = World()
    world.live.max_viewers = 2
    first = world.audience.watch(grants())
    world.audience.watch(grants(room_id="another"))
    assert world.live.viewers == 2
    assert world.live.is_full
    assert world.refusal(grants()) == "server_full"
    first()
    assert world.live.viewers == 1
    world.audience.watch(grants())
    assert world.live.counters["rtc"].viewers_joined == 3


def test_a_room_has_its_own_limit() -> None:
    world = World()
    leave = world.audience.watch(grants(1))
    assert world.refusal(grants(1)) == "room_full"
    world.audience.watch(grants(1, "another"))
    world.audience.watch(grants(None))()
    leave()
    world.audience.watch(grants(1))


@pytest.mark.parametrize(("is_apart", "most"), [(True, 4), (False, 3)])
def test_those_who_watch_by_other_doors_count(is_apart: bool, most: int) -> None:
    """What the hub hands to the router it has counted, and is not counted twice."""
    world = World()
    world.is_apart = is_apart
    stream = world.hub.open(ROOM, Publisher())
    world.audience.watch(grants())
    stream.attach(Viewers(3))
    assert world.refusal(grants(most)) == "room_full"
    world.audience.watch(grants(most + 1))
