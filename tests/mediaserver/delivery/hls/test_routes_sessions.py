"""The HLS doors at the end of a stream, for sessions and their limits, and for transport streams."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from mediaserver.delivery.hls.directory import HlsDirectory
from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.hub.hub import Hub
from tests.helpers.hls_checker import parse
from tests.helpers.waiting import eventually
from tests.mediaserver.delivery.hls.stage import NullPublisher, Stage, make_stage
from tests.mediaserver.delivery.hls.streams import AUDIO, VIDEO, frames, merged, sounds


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with make_stage() as stage:
        yield stage


@pytest.fixture
async def live(stage: Stage) -> Stage:
    stage.go_live()
    stage.play(5)
    return stage


async def test_after_the_end_directives_are_ignored_and_the_rest_stays_for_a_while(live: Stage):
    video = live.video
    live.hub.kick("room", "over")
    for query in ("_HLS_msn=500&_HLS_part=3", "_HLS_part=3", "_HLS_msn=x", "_HLS_skip=no"):
        playlist = parse(await live.text(f"{video}?{query}"))
        assert playlist.is_ended
    assert (await live.client.get(f"/hls/room/{playlist.segments[-1].uri}")).status == 200


async def test_a_token_is_carried_on_into_every_address(live: Stage):
    live.gate.token = "a.ts?b&c"
    await live.text("/hls/room/index.m3u8", 401)
    query = "?token=a.ts%3Fb%26c"
    text = await live.text(f"/hls/room/index.m3u8{query}")
    uris = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(uri.endswith(query) for uri in uris)
    assert text.count(query) == 2
    response = await live.client.get(f"/hls/room/{uris[0]}")
    assert response.headers["Cache-Control"].startswith("private")
    playlist = parse(await response.text())
    segment = playlist.complete[-1]
    for uri in (segment.map_uri, segment.uri, *(part.uri for part in segment.parts), playlist.hint):
        assert uri.endswith(query)
        assert uri.count("token") == 1
    assert all(uri.endswith(query) for uri in playlist.reports)
    assert (await live.client.get(f"/hls/room/{segment.uri}")).status == 200
    assert (await live.client.get(f"/hls/room/{segment.uri.partition('?')[0]}")).status == 401


async def test_a_room_goes_by_all_its_names_with_the_same_bytes(live: Stage):
    assert await live.text("/hls/slug/index.m3u8") == await live.text("/hls/room/index.m3u8")


async def test_a_session_belongs_to_its_room(live: Stage):
    video = live.video
    live.hub.kick("room", "over")
    live.at = 100.0
    live.go_live()
    live.play(5)
    assert live.video != video, "names are random per publishing session"
    assert parse(await live.text(video)).is_ended
    live.directory.sweep(asyncio.get_running_loop().time() + live.directory.options.linger + 1)
    await live.text(video, 404)
    assert not parse(await live.text(live.video)).is_ended


async def test_an_ended_stream_gives_up_its_bytes_after_a_while(live: Stage):
    packager = live.packager
    live.hub.kick("room", "over")
    ended = asyncio.get_running_loop().time()
    live.directory.sweep(ended)
    assert packager.store.total
    live.directory.sweep(ended + live.directory.options.linger + 1)
    assert packager.store.total == 0
    assert packager.data(packager.renditions[0].window.listed[0].name) is None


async def test_whoever_asks_is_counted(live: Stage):
    assert live.packager.viewer_count == 0
    await live.text(live.video)
    await live.text(live.video)
    assert live.packager.viewer_count == 1
    stream = live.hub.find("room")
    assert stream is not None
    assert stream.viewer_count == 1


async def test_those_who_wait_at_once_are_counted_even_behind_one_address(live: Stage):
    sequence, part = live.rendition.last_part
    path = f"{live.video}?_HLS_msn={sequence}&_HLS_part={part + 1}"
    blocked = [asyncio.ensure_future(live.text(path)) for _ in range(20)]
    await eventually(lambda: len(live.rendition.waiters) == 20)
    live.directory.sweep(asyncio.get_running_loop().time())
    live.play(0.6)
    await asyncio.gather(*blocked)
    assert live.directory.viewers("room") == 20


async def test_transport_stream_segments_are_made_when_asked_for(live: Stage):
    stream = live.hub.find("room")
    assert stream is not None
    assert stream.find_shared("hls-ts") is None
    waiting = asyncio.ensure_future(live.text("/hls/room/ts/index.m3u8"))
    await eventually(lambda: stream.find_shared("hls-ts") is not None)
    live.play(5)
    text = await waiting
    uri = next(line for line in text.splitlines() if line.endswith(".ts"))
    response = await live.client.get(f"/hls/room/ts/{uri}")
    data = await response.read()
    assert response.content_type == "video/mp2t"
    assert len(data) % 188 == 0
    assert data[0] == 0x47
    text = await live.text("/hls/room/ts/index.m3u8")
    assert "EXT-X-PART" not in text
    assert text.startswith("#EXTM3U\n#EXT-X-VERSION:3\n")


async def test_transport_stream_stops_when_nobody_asks(live: Stage):
    stream = live.hub.find("room")
    assert stream is not None
    waiting = asyncio.ensure_future(live.text("/hls/room/ts/index.m3u8"))
    await eventually(lambda: stream.find_shared("hls-ts") is not None)
    live.play(5)
    await waiting
    live.directory.sweep(asyncio.get_running_loop().time() + live.directory.options.ts_idle + 1)
    assert stream.find_shared("hls-ts") is None


async def test_transport_stream_of_a_room_that_is_not_live(stage: Stage):
    await stage.text("/hls/room/ts/index.m3u8", 404)


async def test_packaging_begins_with_the_first_request_from_the_last_keyframe():
    hub = Hub()
    directory = HlsDirectory(hub, HlsOptions())
    hub.add_listener(directory)
    stream = hub.open("room", NullPublisher())
    hub.set_tracks(stream, (VIDEO, AUDIO), {})
    for packet in merged(frames(30, 5, 2), sounds(5)):
        stream.publish(packet)
    assert directory.packagers() == []
    packager = directory.find("room")
    assert packager is not None
    assert directory.find("room") is packager
    for packet in merged(frames(30, 3, 2, start=6), sounds(3, start=5)):
        stream.publish(packet)
    assert packager.is_ready
    hub.close()
    assert directory.find("room") is packager, "for those who still play the rest"
    directory.close()


async def test_a_full_room_takes_no_newcomers_but_keeps_who_is_there(live: Stage):
    live.gate.max_viewers = 1
    index = "/hls/room/index.m3u8"
    await live.text(index)
    await live.text(live.video)
    await live.text(index)
    headers = {"User-Agent": "somebody else"}
    for path in (index, "/hls/room/ts/index.m3u8"):
        response = await live.client.get(path, headers=headers)
        assert response.status == 403
        assert (await response.text()).startswith("room_full: ")
    live.gate.max_viewers = None
    assert (await live.client.get(index, headers=headers)).status == 200
