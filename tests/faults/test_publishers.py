"""Publishers that die, come back, fight over a key, or send nonsense, and what their viewers see."""

import asyncio
from contextlib import AsyncExitStack
from itertools import count

import pytest

from rtmp.client import RtmpClient
from rtmp.protocol import flv_tags
from rtmp.protocol.errors import RequestRefusedError
from rtmp.protocol.flv_tags import PacketKind, VideoTag, serialize_video
from tests.helpers.camera import Camera, Stamp
from tests.helpers.flv_viewer import KEYFRAME, FlvViewer
from tests.helpers.server_figures import metric
from tests.helpers.server_process import ServerProcess
from tests.helpers.waiting import eventually

GRACE_MS = 3_000
WRAP = 2**32


async def test_a_publisher_killed_in_mid_gop_comes_back_to_the_same_viewers(
    publish_url: str, flv_url: str
) -> None:
    async with Camera.publishing(publish_url) as camera, FlvViewer.watching(flv_url) as viewer:
        await viewer.more_pictures(15)
        camera.kill()
        headers = len(viewer.sequence_headers())
        async with Camera.publishing(publish_url):
            await viewer.more_pictures(30)
            assert not viewer.is_over
            assert len(viewer.sequence_headers()) > headers, "sent anew"
            viewer.assert_monotonic(longest_gap_ms=GRACE_MS)
            viewer.assert_decodes()


async def test_without_its_publisher_the_room_ends_after_the_grace_window(
    server: ServerProcess, room: str, publish_url: str, flv_url: str
) -> None:
    async with Camera.publishing(publish_url) as camera, FlvViewer.watching(flv_url) as viewer:
        await viewer.more_pictures(5)
        camera.kill()
        await eventually(lambda: viewer.is_over, seconds=15)
    viewer.assert_decodes()
    await asyncio.to_thread(server.wait_not_live, room)


async def test_a_publisher_that_says_goodbye_ends_its_viewers_at_once(publish_url: str, flv_url: str) -> None:
    async with Camera.publishing(publish_url), FlvViewer.watching(flv_url) as viewer:
        await viewer.more_pictures(5)
    async with Camera.publishing(publish_url) as camera, FlvViewer.watching(flv_url) as viewer:
        await viewer.more_pictures(5)
        await camera.client.close()
        await eventually(lambda: viewer.is_over, seconds=GRACE_MS / 1000 - 1)


async def test_the_second_publisher_of_a_key_takes_over(publish_url: str, flv_url: str) -> None:
    async with Camera.publishing(publish_url) as first, FlvViewer.watching(flv_url) as viewer:
        await viewer.more_pictures(15)
        async with Camera.publishing(publish_url) as second:
            await viewer.more_pictures(30)
            with pytest.raises(RequestRefusedError, match="took over"):
                await first.client.drain()
            assert second.packets_sent > 0
            assert not viewer.is_over
            viewer.assert_monotonic(longest_gap_ms=10_000)
            viewer.assert_decodes()


async def test_many_publishers_that_fight_over_a_key_leave_one_and_nothing_else(
    server: ServerProcess, publish_url: str, flv_url: str
) -> None:
    async with AsyncExitStack() as stack:
        cameras = [await stack.enter_async_context(Camera.publishing(publish_url)) for _ in range(20)]
        viewer = await stack.enter_async_context(FlvViewer.watching(flv_url))
        await viewer.more_pictures(10)
        assert await asyncio.to_thread(metric, server, "mediaserver_rtmp_active_publishers") == 1
        await cameras[-1].client.drain()
        viewer.assert_monotonic(longest_gap_ms=10_000)
        viewer.assert_decodes()


@pytest.mark.parametrize(
    ("stamp", "leap"),
    [
        pytest.param(lambda ms: (ms + WRAP - 700) % WRAP, 200, id="32-bit wrap"),
        pytest.param(lambda ms: ms if ms < 700 else ms + 3_600_000, 1_000, id="an hour ahead"),
        pytest.param(lambda ms: ms + 3_600_000 if ms < 700 else ms, 1_000, id="an hour back"),
        pytest.param(lambda ms: ms + 50 * (-1) ** ms, 200, id="to and fro"),
        pytest.param(lambda ms: 0, 1_000, id="no clock"),
    ],
)
async def test_a_bent_clock_comes_out_straight(
    publish_url: str, flv_url: str, stamp: Stamp, leap: int
) -> None:
    async with Camera.publishing(publish_url, stamp), FlvViewer.watching(flv_url) as viewer:
        await viewer.more_pictures(40)
        viewer.assert_monotonic(longest_gap_ms=leap)
        viewer.assert_decodes()


async def test_media_without_sequence_headers_is_dropped_and_counted(
    server: ServerProcess, room: str, publish_url: str
) -> None:
    before = metric(server, "mediaserver_ingest_dropped_packets_total")
    async with await RtmpClient.connect(publish_url) as client:
        await client.publish()
        camera = Camera(client)
        for (ms, packet), _ in zip(camera.endless(), range(40), strict=False):
            camera.send(ms, packet)
        await client.drain()
        await eventually(lambda: metric(server, "mediaserver_ingest_dropped_packets_total") == before + 40)
        assert (await asyncio.to_thread(server.get, f"/live/{room}.flv"))[0] == 404
        camera.send_headers()
        for (ms, packet), _ in zip(camera.endless(), range(40), strict=False):
            camera.send(ms, packet)
        await client.drain()
        await asyncio.to_thread(server.wait_live, room)


async def test_a_stream_without_keyframes_shows_nothing_and_keeps_little(
    server: ServerProcess, room: str, publish_url: str, flv_url: str
) -> None:
    async with await RtmpClient.connect(publish_url) as client:
        await client.publish()
        camera = Camera(client)
        camera.send_headers()
        memory = metric(server, "process_resident_memory_bytes")
        body = bytes(200_000)
        for number in range(300):
            frame = VideoTag(flv_tags.AVC, PacketKind.FRAME, False, 0, body, 0)
            client.write_video(number * 40, serialize_video(frame))
            await client.drain()
        async with FlvViewer.watching(flv_url) as viewer:
            await eventually(lambda: len(viewer.sequence_headers()) >= 1)
            assert not viewer.pictures()
            start = count(300 * 40)
            for (_, packet), ms in zip(camera.endless(), start, strict=False):
                camera.send(ms, packet)
                await client.drain()
                if ms == 300 * 40 + 60:
                    break
            await viewer.more_pictures(5)
            assert viewer.pictures()[0].body[0] == KEYFRAME
        assert metric(server, "process_resident_memory_bytes") - memory < 50_000_000
