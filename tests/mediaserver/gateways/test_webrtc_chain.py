"""Between RTMP, HTTP-FLV and WebRTC, with real peers at every end."""

import asyncio
from typing import Final

from mediaserver.hub.stream import StreamState
from mediaserver.media.packet import Codec
from tests.helpers.camera import Camera
from tests.helpers.flv_viewer import FlvViewer
from tests.helpers.waiting import eventually
from tests.mediaserver.gateways.webrtc_chain import Chain, chain
from tests.sfu.http_peers import player, publisher
from tests.sfu.http_world import BEARER, ROOM

BOTH: Final = ("audio", "video")


async def _is_live(bridges: Chain) -> None:
    await eventually(lambda: bridges.hub.find_live(ROOM) is not None)


async def test_who_publishes_by_rtmp_is_watched_over_webrtc() -> None:
    async with chain() as bridges, Camera.publishing(bridges.rtmp_url):
        bridges.world.kinds = BOTH
        await _is_live(bridges)
        stream = bridges.hub.find_live(ROOM)
        assert stream is not None
        async with player(bridges.doors) as (first, response):
            assert response.status == 201, await response.text()
            await eventually(lambda: first.plays("video", 10) and first.plays("audio", 20))
            assert {(frame.width, frame.height) for frame in first.frames["video"]} == {(160, 120)}
            async with player(bridges.doors, ("video",)) as (second, _):
                await eventually(lambda: second.plays("video", 3))
                assert stream.viewer_count == 2
        await eventually(lambda: stream.viewer_count == 0)
        sent = bridges.play.counters.packets
        async with FlvViewer.watching(bridges.flv_url) as viewer:
            await viewer.more_pictures(10)
        assert bridges.play.counters.packets == sent


async def test_who_publishes_by_whip_is_watched_over_http_flv() -> None:
    async with chain() as bridges, publisher(bridges.doors, "H264") as (_, response):
        assert response.status == 201
        async with FlvViewer.watching(bridges.flv_url) as viewer:
            await viewer.more_pictures(40)
            await eventually(lambda: len(viewer.tags) > 100)
            viewer.assert_decodes()
            viewer.assert_monotonic(longest_gap_ms=1_000)
            assert [tag.body[0] >> 4 for tag in viewer.sequence_headers()] == [1, 10]  # H.264 and AAC
        stream = bridges.hub.find_live(ROOM)
        assert stream is not None
        assert [track.codec for track in stream.tracks] == [Codec.H264, Codec.OPUS]
        assert abs(stream.statistics.figures().audio_video_skew) < 0.5
        assert not bridges.play.refusals()


async def test_vp8_is_watched_over_webrtc_only() -> None:
    async with chain() as bridges, publisher(bridges.doors, "VP8"), player(bridges.doors) as (viewer, _):
        await eventually(lambda: viewer.plays("video", 5) and viewer.plays("audio", 5))
        assert (bridges.ingest.refusal(ROOM) or "").startswith("VP8 cannot be carried")
        stream = bridges.hub.find_live(ROOM)
        assert stream is not None
        assert [track.codec for track in stream.tracks] == [Codec.OPUS]


async def test_publishers_take_over_from_each_other_by_both_doors() -> None:
    async with chain() as bridges:
        async with Camera.publishing(bridges.rtmp_url) as camera:
            await _is_live(bridges)
            stream = bridges.hub.find(ROOM)
            async with FlvViewer.watching(bridges.flv_url) as viewer:
                await viewer.more_pictures(5)
                async with publisher(bridges.doors, "H264"):
                    await eventually(lambda: bridges.ingest.is_publishing(ROOM))
                    await eventually(lambda: not _local_producers(bridges))
                    sent = camera.packets_sent
                    await viewer.more_pictures(10)
                    assert camera.packets_sent < sent + 200
                    async with Camera.publishing(bridges.rtmp_url):
                        await eventually(lambda: len(bridges.ended) == 1)
                        bridges.world.kinds = BOTH
                        async with player(bridges.doors) as (watching, _):
                            await eventually(lambda: watching.plays("video", 3))
                        await viewer.more_pictures(10)
        assert bridges.hub.find(ROOM) in (stream, None)


async def test_a_whip_session_that_ends_leaves_the_stream_in_its_grace_window() -> None:
    async with chain() as bridges, publisher(bridges.doors, "H264") as (_, response):
        await _is_live(bridges)
        deleted = await bridges.doors.client.delete(response.headers["Location"], headers=BEARER)
        assert deleted.status == 200
        stream = bridges.hub.find(ROOM)
        assert stream is not None and stream.state is StreamState.INTERRUPTED
        bridges.hub.kick(ROOM, "over")
        await asyncio.sleep(0)


def _local_producers(bridges: Chain) -> bool:
    return any(not producer.is_program for producer in bridges.router.producers.values())
