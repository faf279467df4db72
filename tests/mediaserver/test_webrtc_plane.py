"""What WebRTC is built of."""

from pathlib import Path
from typing import cast

import pytest
from aiohttp import web

from mediaserver.authorizer import Authorizer
from mediaserver.config import Settings
from mediaserver.config.service_settings import RtcSettings
from mediaserver.media_plane import MediaPlane
from mediaserver.webrtc_access import WebRtcAccess
from mediaserver.webrtc_plane import WebRtcPlane
from sfu.room_ports import RoomAccess
from sfu.whip import Whip
from storage.bus import Bus, ChangesMissed, UserChanged
from tests.helpers.waiting import eventually


async def test_the_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    rtc = RtcSettings(
        max_participants=7, max_publishers=3, max_ingress_packets=900, max_ingress_bitrate=800_000
    )
    settings = Settings(data_dir=tmp_path, rtc=rtc)
    plane = WebRtcPlane(settings, MediaPlane(settings, cast(Authorizer, None), Bus()), Bus())
    try:
        options = plane.rooms.directory.options
        assert (options.participants, options.publishers) == (7, 3)
        limits = plane.server.limits
        assert (limits.ingress_packets, limits.ingress_bitrate) == (900, 800_000)
    finally:
        await plane.close()


async def test_publishers_are_asked_again_when_their_users_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    async def review(whip: Whip, user_id: str | None = None) -> None:
        asked.append(user_id)

    monkeypatch.setattr(Whip, "review", review)
    settings, bus = Settings(data_dir=tmp_path), Bus()
    plane = WebRtcPlane(settings, MediaPlane(settings, cast(Authorizer, None), Bus()), bus)
    try:
        plane.open_doors(
            web.Application(), cast(WebRtcAccess, None), cast(RoomAccess, None), lambda request: ""
        )
        bus.publish(UserChanged("somebody"))
        await eventually(lambda: asked == ["somebody"])
        bus.publish(ChangesMissed())
        await eventually(lambda: asked == ["somebody", None])
    finally:
        await plane.close()
