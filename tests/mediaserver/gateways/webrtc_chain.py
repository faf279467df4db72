"""RTMP and WHIP in, HTTP-FLV and WHEP out, over loopback: what the bridges connect, without the rest."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from aiohttp import web

from mediaserver.authorizer import RoomAccess
from mediaserver.delivery.broadcast import BroadcastOptions
from mediaserver.delivery.hls.directory import HlsDirectory
from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.http_app import create_http_app
from mediaserver.delivery.http_server import HttpServer
from mediaserver.delivery.live import LiveDelivery
from mediaserver.delivery.live_routes import add_live_routes
from mediaserver.gateways.rtmp_ingest import RtmpIngest
from mediaserver.gateways.rtmp_play import RtmpPlayback
from mediaserver.gateways.webrtc_ingest import WebRtcIngest
from mediaserver.gateways.webrtc_play import WebRtcPlay
from mediaserver.gateways.webrtc_publication import AroundOpus
from mediaserver.hub.gop_cache import GopCacheLimits
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import Stream
from mediaserver.transcode.aac_stream import aac_stream
from mediaserver.transcode.audio_sharing import make_executor
from rtmp.limits import RtmpLimits
from rtmp.ports import PlayGrant, PublishGrant
from rtmp.server import RtmpServer
from sfu.router import Router
from tests.sfu.http_peers import LiveWorld, live_doors
from tests.sfu.http_world import ROOM, Doors


class _EveryoneMay:
    """An authorizer of one room, and the gate of its HTTP door."""

    async def may_publish(self, app: str, name: str, query: Mapping[str, str], address: str) -> PublishGrant:
        return PublishGrant(ROOM)

    async def may_play(self, app: str, name: str, query: Mapping[str, str], address: str) -> PlayGrant:
        return PlayGrant(ROOM)

    async def access(self, request: web.Request, room_ref: str) -> RoomAccess:
        return RoomAccess(ROOM, None, "A room", "alice", is_listed=True)


@dataclass
class Chain:
    hub: Hub
    ingest: WebRtcIngest
    play: WebRtcPlay
    doors: Doors
    world: LiveWorld
    router: Router
    rtmp_port: int
    http_port: int
    ended: list[str]
    hls: HlsDirectory

    @property
    def rtmp_url(self) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/live/key"

    @property
    def flv_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/live/{ROOM}.flv?wait=10"


@asynccontextmanager
async def chain() -> AsyncIterator[Chain]:
    """Everything running; everything is closed at the end."""
    hub = Hub(grace_seconds=60)
    ended: list[str] = []
    ingest = WebRtcIngest(hub, lambda room_id, reason: ended.append(reason))
    async with AsyncExitStack() as stack:
        executor = stack.enter_context(make_executor())
        play = WebRtcPlay(hub, executor, ingest.is_publishing)
        delivery = LiveDelivery(hub, BroadcastOptions(merge_window=0), GopCacheLimits())
        hls = HlsDirectory(hub, HlsOptions(segment_target=0.4, part_target=0.2))
        hub.add_listener(hls)
        stack.callback(hls.close)
        delivery.as_aac = hls.as_aac = lambda stream: aac_stream(stream, executor)
        ingest.around_opus = moving(delivery, hls)
        rtmp = RtmpServer(_EveryoneMay(), RtmpIngest(hub), RtmpPlayback(delivery), RtmpLimits())
        rtmp_port = await rtmp.start("127.0.0.1", 0)
        stack.push_async_callback(rtmp.close)
        app = create_http_app()
        add_live_routes(app, delivery, _EveryoneMay())
        http = HttpServer(app, shutdown_seconds=1)
        http_port = await http.start("127.0.0.1", 0)
        stack.push_async_callback(http.close)
        world, doors = await stack.enter_async_context(live_doors())
        world.room = router = world.server.create_router(ROOM)
        ingest.watch(router)
        play.watch(router)
        ticking = asyncio.create_task(ingest.run())
        stack.callback(hub.close)
        stack.callback(ticking.cancel)
        yield Chain(hub, ingest, play, doors, world, router, rtmp_port, http_port, ended, hls)


def moving(delivery: LiveDelivery, hls: HlsDirectory) -> AroundOpus:
    """As the media plane does it."""

    @contextmanager
    def around(stream: Stream) -> Iterator[None]:
        with delivery.moving(stream), hls.moving(stream):
            yield

    return around
