"""WHIP and WHEP with the real core and aiortc at both ends, over loopback."""

from __future__ import annotations

import pytest

from tests.helpers.waiting import eventually
from tests.sfu.http_peers import connection, live_doors, player, publisher
from tests.sfu.http_world import BEARER, FRAGMENT, NEW_ICE, ROOM, options, problem


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_viewers_decode_what_a_publisher_sends(codec: str) -> None:
    async with live_doors() as (world, served), publisher(served, codec) as (_, response):
        assert response.status == 201
        async with player(served) as (first, _), player(served, ("video",)) as (second, _):
            await eventually(lambda: first.plays("audio", 10) and first.plays("video", 10))
            await eventually(lambda: second.plays("video", 10))
            assert {frame.width for frame in first.frames["video"]} == {160}
            assert world.server.statistics().consumers == 3


async def test_a_viewer_that_deletes_its_session_is_told_by_dtls() -> None:
    async with (
        live_doors() as (world, served),
        publisher(served, "VP8"),
        player(served) as (viewer, answer),
    ):
        await eventually(lambda: viewer.plays("video"))
        assert (await served.client.delete(answer.headers["Location"])).status == 200
        await eventually(lambda: viewer.peer.connectionState == "closed")
        assert world.server.statistics().transports == 1


async def test_viewers_go_when_the_publisher_deletes_its_session() -> None:
    async with live_doors() as (world, served), publisher(served, "VP8") as (sending, published):
        async with player(served) as (viewer, _):
            await eventually(lambda: viewer.plays("video"))
            assert (await served.client.delete(published.headers["Location"], headers=BEARER)).status == 200
            await eventually(lambda: viewer.peer.connectionState == "closed")
            await eventually(lambda: sending.connectionState == "closed")
            await eventually(lambda: world.server.statistics().transports == 0)
        async with player(served) as (_, refused):
            await problem(refused, 409, "not_live")


async def test_a_server_that_drains_tells_all_peers_by_dtls_and_takes_no_more() -> None:
    async with live_doors() as (world, served), publisher(served, "VP8") as (sending, _):
        async with player(served) as (viewer, _):
            await eventually(lambda: viewer.plays("video"))
            served.whep.drain()
            await eventually(lambda: viewer.peer.connectionState == "closed")
            assert sending.connectionState == "connected"
            served.whip.drain()
            await eventually(lambda: sending.connectionState == "closed")
            assert world.server.statistics().transports == 0
        assert world.goodbyes == [ROOM]
        async with player(served) as (_, refused):
            await problem(refused, 503, "draining")
            assert int(refused.headers["Retry-After"]) > 0


async def test_a_second_publisher_takes_the_room_over() -> None:
    async with (
        live_doors() as (world, served),
        publisher(served, "VP8") as (first, _),
        publisher(served, "H264"),
    ):
        await eventually(lambda: first.connectionState == "closed")
        async with player(served) as (viewer, _):
            await eventually(lambda: viewer.plays("video") and viewer.plays("audio"))
        assert world.server.statistics().producers == 2


async def test_a_viewer_without_the_codec_is_told_so() -> None:
    async with live_doors() as (_, served), publisher(served, "VP8"):
        async with player(served, ("video",), ("H264",)) as (_, response):
            await problem(response, 406, "unsupported_media")
        async with player(served, ("audio", "video"), ("H264",)) as (viewer, response):
            assert response.status == 201
            await eventually(lambda: viewer.plays("audio"))


async def test_peers_that_never_come_free_everything() -> None:
    async with live_doors(options(connect_seconds=0.05)) as (world, served):
        peer = connection()
        peer.addTransceiver("video", direction="sendonly")
        await peer.setLocalDescription(await peer.createOffer())
        for _ in range(3):
            assert (await served.publish(peer.localDescription.sdp)).status == 201
        await peer.close()
        await eventually(lambda: world.server.statistics().transports == 0)
        assert world.server.statistics().producers == 0


async def test_a_restart_gives_new_credentials_while_the_old_ones_go_on() -> None:
    async with live_doors() as (_, served), publisher(served, "VP8"), player(served) as (viewer, answer):
        await eventually(lambda: viewer.plays("video"))
        headers = {**FRAGMENT, "If-Match": "*"}
        response = await served.client.patch(answer.headers["Location"], data=NEW_ICE, headers=headers)
        assert response.status == 200
        fragment = await response.text()
        assert "a=ice-lite" in fragment
        assert fragment.count("a=candidate:") == 2
        count = len(viewer.frames["video"])
        await eventually(lambda: viewer.plays("video", count + 10))
