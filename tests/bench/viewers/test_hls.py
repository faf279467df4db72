import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bench.targets import parse_target
from bench.viewers.hls import HlsViewer
from bench.viewers.probe import MediaProbe
from tests.bench.viewers.hls_server import HlsServer, hls_server
from tests.helpers.waiting import eventually


@asynccontextmanager
async def watching(server: HlsServer, wants_parts: bool) -> AsyncIterator[HlsViewer]:
    viewer = HlsViewer(parse_target(server.url, ("http",)), wants_parts, MediaProbe(None))
    task = asyncio.create_task(viewer.run())
    try:
        yield viewer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def media_requests(server: HlsServer) -> list[str]:
    paths = [path.removeprefix("/room/video/") for path in server.requests]
    return [path for path in paths if path[0].isdigit()]


async def test_a_low_latency_viewer_joins_at_the_hold_back_and_fetches_each_part_once():
    async with hls_server(parts=10) as server, watching(server, wants_parts=True) as viewer:
        await eventually(lambda: len(media_requests(server)) == 6)
        for fetched in (7, 8, 9):
            await server.advance()
            await eventually(lambda fetched=fetched: len(media_requests(server)) == fetched)
        await server.advance(2)
        await eventually(lambda: len(media_requests(server)) == 11)
        viewer.finish(time.monotonic())
    # Part 4 begins the segment that holds the point 1.5 s before the end.
    assert media_requests(server) == [f"{part}.{part}" for part in range(4, 15)]
    assert (viewer.figures.lost_frames, viewer.figures.hold_back) == (0, 1.5)
    assert viewer.figures.error is None
    reloads = [path.partition("?")[2] for path in server.requests if "_HLS_msn" in path]
    assert reloads[:3] == ["_HLS_msn=2&_HLS_part=2", "_HLS_msn=2&_HLS_part=3", "_HLS_msn=3&_HLS_part=0"]


async def test_a_viewer_of_segments_joins_three_before_the_end():
    async with hls_server(parts=21, has_parts=False) as server, watching(server, wants_parts=False) as viewer:
        await eventually(lambda: len(media_requests(server)) == 3)
        await eventually(lambda: viewer.figures.media_at is not None)
    assert media_requests(server) == ["8.11", "12.15", "16.19"]


async def test_the_end_of_the_stream_ends_the_viewer():
    async with hls_server(parts=4) as server, watching(server, wants_parts=True) as viewer:
        await eventually(lambda: len(media_requests(server)) == 4)
        await server.end()
        await eventually(lambda: viewer.figures.error == "ended by the server")


async def test_a_playlist_without_parts_is_refused_when_low_latency_is_asked_for():
    async with hls_server(parts=8, has_parts=False) as server, watching(server, wants_parts=True) as viewer:
        await eventually(lambda: viewer.figures.error is not None)
    assert viewer.figures.error == "the playlist has no parts or no blocking reload"


async def test_a_player_that_runs_dry_has_stalled():
    async with hls_server(parts=4) as server, watching(server, wants_parts=True) as viewer:
        await eventually(lambda: len(media_requests(server)) == 4)
        fetched = time.monotonic()
        viewer.restart(fetched)
        viewer.finish(fetched + 1.0)
        assert viewer.figures.stalls == 0
        viewer.finish(fetched + 3.0)
        assert viewer.figures.stalls == 1
