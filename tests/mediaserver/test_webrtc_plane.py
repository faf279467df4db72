"""What WebRTC is built of."""

from pathlib import Path
from typing import cast

from mediaserver.authorizer import Authorizer
from mediaserver.config import Settings
from mediaserver.config.service_settings import RtcSettings
from mediaserver.media_plane import MediaPlane
from mediaserver.webrtc_plane import WebRtcPlane
from storage.bus import Bus


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
