"""What browsers publish, packaged for HLS."""

import io

import av
import pytest

from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.gateways.webrtc_ingest import WebRtcIngest
from mediaserver.hub.hub import Hub
from mediaserver.transcode.aac_stream import aac_stream
from mediaserver.transcode.audio_sharing import make_executor
from tests.helpers.waiting import eventually
from tests.mediaserver.delivery.hls.streams import Watch
from tests.mediaserver.gateways.webrtc_room import ROOM, Browser, FakeRouter

TURNS = 6
"""Of the test clip."""
TURN_MS = 1_220
"""The clip's sound is as long."""


@pytest.mark.parametrize(("is_aac", "codec"), [(True, "mp4a.40.2"), (False, "opus")])
async def test_segments_of_picture_and_sound_cut_together(is_aac: bool, codec: str) -> None:
    hub, router = Hub(grace_seconds=0), FakeRouter()
    WebRtcIngest(hub).watch(router)
    browser = Browser(router, turn_ms=TURN_MS)
    browser.play()
    stream = hub.find_live(ROOM)
    assert stream is not None
    options = HlsOptions(segment_target=0.4, part_target=0.2)
    watch = Watch(options)
    with make_executor(1) as executor:
        packaged = aac_stream(stream, executor) if is_aac else stream
        packager = packaged.shared("hls", lambda: watch.packager)
        for turn in range(1, TURNS):
            packets = packaged.statistics.packets
            browser.play(turn)
            await eventually(lambda packets=packets: packaged.statistics.packets >= packets + 60)
            watch.look()
        hub.kick(ROOM, "over")
        watch.look()
    text = packager.multivariant().decode()
    assert 'CODECS="avc1.' in text
    assert codec in text
    playlists = {r.track.id: packager.playlist(r) for r in packager.renditions.values()}
    assert set(playlists) == {0, 1}
    for picture, sound in zip(playlists[0].segments, playlists[1].segments, strict=True):
        assert picture.start == pytest.approx(sound.start, abs=options.part_target)
    for playlist in playlists.values():
        first = playlist.segments[0]
        parts = [packager.data(name) for name in (first.map_name, *(s.name for s in playlist.segments))]
        data = b"".join(bytes(part) for part in parts if part is not None)
        with av.open(io.BytesIO(data)) as source:
            assert sum(1 for _ in source.decode()) > 50
