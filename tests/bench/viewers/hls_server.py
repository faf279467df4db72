"""A scripted HLS server: a stream of parts that move on when the test says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from bench.media.stamps import STAMP_UUID, serialize_stamp

PART_SECONDS = 0.5
PARTS_PER_SEGMENT = 4
HOST = "127.0.0.1"


class HlsServer:
    """Part n holds the stamp of frame n; segments of four parts. ``parts`` of them exist."""

    def __init__(self, parts: int, has_parts: bool = True) -> None:
        self.port = 0
        self.parts = parts
        self.requests: list[str] = []
        self.is_ended = False
        self._has_parts = has_parts
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/room/index.m3u8"

    async def advance(self, parts: int = 1) -> None:
        self.parts += parts
        async with self._changed:
            self._changed.notify_all()

    async def end(self) -> None:
        self.is_ended = True
        await self.advance(0)

    async def serve(self, request: web.Request) -> web.Response:
        self.requests.append(request.path_qs)
        name = request.match_info["name"]
        if name == "index.m3u8":
            return web.Response(text="#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nvideo/media.m3u8\n")
        if name == "video/media.m3u8":
            await self._wait(request)
            return web.Response(text=self._playlist())
        if name == "video/init.mp4":
            return web.Response(body=b"init")
        first, last = (int(number) for number in name.removeprefix("video/").split("."))
        return web.Response(body=b"".join(media(number) for number in range(first, last + 1)))

    async def _wait(self, request: web.Request) -> None:
        if "_HLS_msn" not in request.query:
            return
        wanted = int(request.query["_HLS_msn"]) * PARTS_PER_SEGMENT + int(request.query["_HLS_part"])
        async with self._changed:
            await self._changed.wait_for(lambda: self.parts > wanted or self.is_ended)

    def _playlist(self) -> str:
        lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", '#EXT-X-MAP:URI="init.mp4"']
        if self._has_parts:
            lines += ["#EXT-X-PART-INF:PART-TARGET=0.5"]
            lines += ["#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5"]
        for part in range(self.parts):
            if self._has_parts:
                independent = ",INDEPENDENT=YES" if part % PARTS_PER_SEGMENT == 0 else ""
                lines.append(f'#EXT-X-PART:DURATION={PART_SECONDS},URI="{part}.{part}"{independent}')
            if part % PARTS_PER_SEGMENT == PARTS_PER_SEGMENT - 1:
                lines += ["#EXTINF:2.0,", f"{part - PARTS_PER_SEGMENT + 1}.{part}"]
        if self.is_ended:
            lines.append("#EXT-X-ENDLIST")
        return "\n".join(lines) + "\n"


def media(number: int) -> bytes:
    return b"mdat" + STAMP_UUID + serialize_stamp(number, 0)


@asynccontextmanager
async def hls_server(parts: int, has_parts: bool = True) -> AsyncIterator[HlsServer]:
    server = HlsServer(parts, has_parts)
    app = web.Application()
    app.router.add_get("/room/{name:.+}", server.serve)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()
