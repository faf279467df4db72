"""The HLS doors over HTTP, with a stream that the test moves on by hand."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from mediaserver.delivery.client_address import ClientAddress
from mediaserver.delivery.hls.directory import HlsDirectory
from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.hls.packager import HlsPackager
from mediaserver.delivery.hls.routes import add_hls_routes
from mediaserver.delivery.http_app import create_http_app
from mediaserver.hub.hub import Hub
from tests.helpers.hls_checker import parse
from tests.helpers.waiting import eventually
from tests.mediaserver.delivery.hls.test_packager import AUDIO, VIDEO, frames, merged, sounds


class OpenGate:
    """Knows one room."""

    async def may_watch(self, request: web.Request, room_ref: str) -> str:
        if room_ref != "room":
            raise web.HTTPNotFound(text="no such room")
        return room_ref


class NullPublisher:
    def replaced(self) -> None: ...

    def kicked(self, reason: str) -> None: ...


class Stage:
    """A live room with HLS in front of it."""

    def __init__(self, client: TestClient, hub: Hub, directory: HlsDirectory) -> None:
        self.client = client
        self.hub = hub
        self.directory = directory
        self.at = 0.0

    def go_live(self) -> None:
        stream = self.hub.open("room", NullPublisher())
        self.hub.set_tracks(stream, (VIDEO, AUDIO), {})

    def play(self, seconds: float) -> None:
        stream = self.hub.find("room")
        assert stream is not None
        for packet in merged(frames(30, seconds, 2, start=self.at), sounds(seconds, start=self.at)):
            stream.publish(packet)
        self.at += seconds

    @property
    def packager(self) -> HlsPackager:
        packager = self.directory.current("room")
        assert packager is not None
        return packager

    @property
    def video(self) -> str:
        return f"/hls/room/{self.packager.renditions[VIDEO.id].name}.m3u8"

    async def text(self, path: str, status: int = 200) -> str:
        response = await self.client.get(path)
        assert response.status == status, await response.text()
        return await response.text()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    hub = Hub()
    directory = HlsDirectory(hub, HlsOptions())
    hub.add_listener(directory)
    app = create_http_app()
    add_hls_routes(app, directory, OpenGate(), ClientAddress())
    async with TestClient(TestServer(app)) as client:
        yield Stage(client, hub, directory)
        hub.close()


@pytest.fixture
async def live(stage: Stage) -> Stage:
    stage.go_live()
    stage.play(5)
    return stage


async def test_from_the_multivariant_playlist_down_to_media(live: Stage):
    text = await live.text("/hls/room/index.m3u8")
    media = [line for line in text.splitlines() if not line.startswith("#")]
    playlist = parse(await live.text(f"/hls/room/{media[0]}"))
    segment = playlist.segments[0]
    for uri in (segment.map_uri, segment.uri, segment.parts[0].uri):
        response = await live.client.get(f"/hls/room/{uri}")
        assert response.status == 200
        assert response.content_type == "video/mp4"
        assert "immutable" in response.headers["Cache-Control"]
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert (await response.read())[4:8] in (b"ftyp", b"moof")
    assert (await live.client.head(f"/hls/room/{segment.uri}")).status == 200


async def test_a_segment_is_its_parts_together(live: Stage):
    segment = parse(await live.text(live.video)).segments[0]
    parts = [await (await live.client.get(f"/hls/room/{part.uri}")).read() for part in segment.parts]
    assert await (await live.client.get(f"/hls/room/{segment.uri}")).read() == b"".join(parts)


@pytest.mark.parametrize(
    "path",
    [
        "/hls/nowhere/index.m3u8",
        "/hls/room/nothing.m3u8",
        "/hls/room/000000000000-v0.m3u8",
        "/hls/room/000000000000-v0-1.m4s",
        "/hls/..%2f..%2fetc/index.m3u8",
        "/hls/room/..%2f..%2fpasswd",
        "/hls/room/%00.m3u8",
    ],
)
async def test_what_is_not_there_is_not_found(live: Stage, path: str):
    assert (await live.client.get(path)).status == 404


async def test_a_room_that_is_not_live_says_when_to_try_again(stage: Stage):
    response = await stage.client.get("/hls/room/index.m3u8")
    assert response.status == 404
    assert response.headers["Retry-After"]


async def test_the_first_request_waits_until_there_is_something_to_list(stage: Stage):
    stage.go_live()
    waiting = asyncio.ensure_future(stage.text("/hls/room/index.m3u8"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    stage.play(3)
    assert "#EXT-X-STREAM-INF" in await waiting


@pytest.mark.parametrize(
    "query",
    [
        "_HLS_part=0",
        "_HLS_msn=x",
        "_HLS_msn=-1",
        "_HLS_msn=1.5",
        "_HLS_msn=99999999999999",
        "_HLS_msn=5",
        "_HLS_skip=NO",
        "_HLS_msn=1&_HLS_part=x",
    ],
)
async def test_directives_that_make_no_sense(live: Stage, query: str):
    text = await live.text(f"{live.video}?{query}", 400)
    assert text.startswith("_HLS_")


async def test_an_old_sequence_number_is_answered_at_once(live: Stage):
    assert await live.text(f"{live.video}?_HLS_msn=0&_HLS_part=0") == await live.text(live.video)


async def test_a_blocked_request_is_answered_by_its_part(live: Stage):
    sequence, part = live.packager.renditions[VIDEO.id].last_part
    blocked = asyncio.ensure_future(live.text(f"{live.video}?_HLS_msn={sequence}&_HLS_part={part + 1}"))
    await asyncio.sleep(0.05)
    assert not blocked.done()
    live.play(0.6)
    playlist = parse(await blocked)
    assert len(playlist.segments[-1].parts) >= part + 1


async def test_a_part_past_the_end_of_a_segment_means_the_next_segment(live: Stage):
    sequence, _ = live.packager.renditions[VIDEO.id].last_part
    blocked = asyncio.ensure_future(live.text(f"{live.video}?_HLS_msn={sequence}&_HLS_part=50"))
    await asyncio.sleep(0.05)
    assert not blocked.done()
    live.play(2.6)
    assert parse(await blocked).segments[-1].sequence == sequence + 1


async def test_a_hinted_part_sends_nothing_before_it_is_complete(live: Stage):
    hint = parse(await live.text(live.video)).hint
    blocked = asyncio.ensure_future(live.client.get(f"/hls/room/{hint}"))
    await asyncio.sleep(0.05)
    assert not blocked.done()
    live.play(0.6)
    response = await blocked
    assert response.status == 200
    assert (await response.read())[4:8] == b"moof"


async def test_all_who_wait_share_one_future_and_get_the_same_bytes(live: Stage):
    rendition = live.packager.renditions[VIDEO.id]
    sequence, part = rendition.last_part
    path = f"{live.video}?_HLS_msn={sequence}&_HLS_part={part + 1}"
    blocked = [asyncio.ensure_future(live.text(path)) for _ in range(90)]
    await eventually(lambda: len(rendition.changed()._callbacks or ()) == 90)
    blocked.pop().cancel()
    live.play(0.6)
    assert len(set(await asyncio.gather(*blocked))) == 1


async def test_nothing_for_three_target_durations_is_unavailable(
    live: Stage, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("mediaserver.delivery.hls.reload.BLOCKED_TARGET_DURATIONS", 0)
    sequence, _ = live.packager.renditions[VIDEO.id].last_part
    response = await live.client.get(f"{live.video}?_HLS_msn={sequence + 1}")
    assert response.status == 503
    assert response.headers["Retry-After"]


async def test_after_the_end_directives_are_ignored_and_the_rest_stays_for_a_while(live: Stage):
    video = live.video
    live.hub.kick("room", "over")
    playlist = parse(await live.text(f"{video}?_HLS_msn=500&_HLS_part=3"))
    assert playlist.is_ended
    assert (await live.client.get(f"/hls/room/{playlist.segments[-1].uri}")).status == 200


async def test_a_token_is_carried_on(live: Stage):
    text = await live.text("/hls/room/index.m3u8?token=a%26b")
    uris = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(uri.endswith("?token=a%26b") for uri in uris)
    assert "?token=a%26b" in await live.text(f"/hls/room/{uris[0]}")


async def test_whoever_asks_is_counted(live: Stage):
    assert live.packager.viewer_count == 0
    await live.text(live.video)
    await live.text(live.video)
    assert live.packager.viewer_count == 1
    stream = live.hub.find("room")
    assert stream is not None
    assert stream.viewer_count == 1


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
