"""Publishers by RTMP and by WHIP take turns: who watches goes on with the sound that its player knows."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import av
import pytest

from mediaserver.delivery.hls.packager import HlsPackager
from mediaserver.hub.stream import StreamState
from mediaserver.media.packet import Codec, TrackKind
from mediaserver.transcode.aac_stream import OUTPUT_NAME as AAC_OUTPUT
from rtmp.client import PlayedMessage, RtmpClient
from rtmp.protocol.events import AudioReceived
from tests.helpers.camera import Camera
from tests.helpers.flv_viewer import AUDIO, FlvViewer
from tests.helpers.waiting import eventually
from tests.mediaserver.gateways.webrtc_chain import Chain, chain
from tests.sfu.http_peers import player, publisher
from tests.sfu.http_world import ROOM

pytestmark = pytest.mark.slow  # publishers take turns in real time

AAC: Final = 10
AAC_TYPE: Final = "mp4a"


def sound_formats(viewer: FlvViewer) -> set[int]:
    return {tag.body[0] >> 4 for tag in viewer.tags if tag.type == AUDIO}


async def more_sound(viewer: FlvViewer, number: int) -> None:
    def count() -> int:
        return sum(tag.type == AUDIO and tag.body[1] == 1 for tag in viewer.tags)

    wanted = count() + number
    await eventually(lambda: count() >= wanted)


@asynccontextmanager
async def rtmp_player(bridges: Chain) -> AsyncIterator[list[PlayedMessage]]:
    """What a player over RTMP gets."""
    got: list[PlayedMessage] = []

    async def read(client: RtmpClient) -> None:
        async for message in client.play():
            got.append(message)  # noqa: PERF401 (looked at meanwhile)

    async with await RtmpClient.connect(bridges.rtmp_url) as client:
        reading = asyncio.create_task(read(client))
        try:
            yield got
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading


async def test_players_of_flv_and_rtmp_keep_aac_while_publishers_take_turns() -> None:
    async with chain() as bridges:
        async with (
            Camera.publishing(bridges.rtmp_url),
            FlvViewer.watching(bridges.flv_url) as viewer,
            rtmp_player(bridges) as played,
        ):
            await viewer.more_pictures(5)
            await eventually(lambda: len(played) > 20)
            headers = len(viewer.sequence_headers())
            async with publisher(bridges.doors, "H264"):
                await eventually(lambda: bridges.ingest.is_publishing(ROOM))
                await more_sound(viewer, 40)
                assert len(viewer.sequence_headers()) >= headers + 2
                count = len(played)
                await eventually(lambda: len(played) > count + 100)
                stream = bridges.hub.find(ROOM)
                assert stream is not None and stream.viewers_by_output()[AAC_OUTPUT] == 2
                async with Camera.publishing(bridges.rtmp_url):
                    await eventually(lambda: not bridges.ingest.is_publishing(ROOM))
                    await more_sound(viewer, 40)
                    async with FlvViewer.watching(bridges.flv_url) as other, publisher(bridges.doors, "H264"):
                        await eventually(lambda: bridges.ingest.is_publishing(ROOM))
                        await more_sound(viewer, 40)
                        await more_sound(other, 1)
                        assert sound_formats(other) == {AAC}
        assert sound_formats(viewer) == {AAC}
        assert {one.body[0] >> 4 for one in played if isinstance(one, AudioReceived)} == {AAC}
        viewer.assert_decodes()
        viewer.assert_monotonic(longest_gap_ms=2_000)
        assert len(bridges.ended) == 1


@pytest.mark.parametrize("goodbye", ["killed", "replaced"])
async def test_a_session_of_whep_goes_on_when_the_encoder_comes_back(goodbye: str) -> None:
    async with chain() as bridges, Camera.publishing(bridges.rtmp_url) as camera:
        bridges.world.kinds = ("audio", "video")
        await eventually(lambda: bridges.hub.find_live(ROOM) is not None)
        stream = bridges.hub.find(ROOM)
        assert stream is not None
        async with player(bridges.doors) as (viewer, answer):
            assert answer.status == 201
            await eventually(lambda: viewer.plays("video", 10) and viewer.plays("audio", 20))
            if goodbye == "killed":
                camera.kill()
                await eventually(lambda: stream.state is StreamState.INTERRUPTED)
            seen, heard = len(viewer.frames["video"]), len(viewer.frames["audio"])
            async with Camera.publishing(bridges.rtmp_url):
                await eventually(
                    lambda: viewer.plays("video", seen + 30) and viewer.plays("audio", heard + 60)
                )
                assert len(bridges.doors.whep.sessions) == 1
            for frames in viewer.frames.values():
                stamps = [frame.pts for frame in frames]
                assert stamps == sorted(stamps)
            assert len({bytes(frame.planes[0]) for frame in viewer.frames["video"][seen:]}) > 20


async def test_hls_goes_on_with_aac_behind_a_discontinuity() -> None:
    async with chain() as bridges, Camera.publishing(bridges.rtmp_url):
        await eventually(lambda: bridges.hub.find_live(ROOM) is not None)
        packager = bridges.hls.find(ROOM)
        assert packager is not None
        transport_stream = bridges.hls.transport_stream(ROOM)
        await eventually(lambda: packager.is_ready)
        async with publisher(bridges.doors, "H264"):
            await eventually(lambda: bridges.ingest.is_publishing(ROOM))
            await eventually(lambda: segments_since_change(packager) >= 2)
            assert bridges.hls.find(ROOM) is packager
            assert bridges.hls.transport_stream(ROOM) is transport_stream
            sound = next(r for r in packager.renditions.values() if r.track.kind is TrackKind.AUDIO)
            assert sound.track.codec is Codec.AAC
            assert AAC_TYPE in packager.multivariant().decode()
            newest = packager.playlist(sound).segments[-1]
            parts = [packager.data(name) for name in (newest.map_name, newest.name)]
            with av.open(io.BytesIO(b"".join(bytes(part) for part in parts if part is not None))) as source:
                assert source.streams.audio[0].codec_context.name == "aac"
                assert sum(1 for _ in source.decode()) > 5


def segments_since_change(packager: HlsPackager) -> int:
    """Of the sound, that are listed behind its last discontinuity."""
    sound = next(r for r in packager.renditions.values() if r.track.kind is TrackKind.AUDIO)
    segments = packager.playlist(sound).segments
    changes = [number for number, segment in enumerate(segments) if segment.is_discontinuous]
    return len(segments) - changes[-1] if changes else 0
