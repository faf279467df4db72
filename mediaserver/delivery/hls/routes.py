"""`/hls/{room}/…`: playlists, initialization segments, segments and parts.

Everything is answered from bytes that are kept: a playlist is rendered once per change, however many ask, and
is the same for all. Only viewers with a token in their address get it carried on into every address they are
given, so that no proxy mixes what is public with what is not.
"""

import asyncio
import zlib
from typing import Final, Protocol
from urllib.parse import quote

from aiohttp import hdrs, web

from mediaserver.authorizer import RoomAccess
from mediaserver.delivery.client_address import ClientAddress
from mediaserver.delivery.gate import PlaybackGate, refuse_when_full
from mediaserver.delivery.hls.audience import Audience
from mediaserver.delivery.hls.directory import HlsDirectory
from mediaserver.delivery.hls.packager import HlsPackager
from mediaserver.delivery.hls.playlist import SKIP_TARGET_DURATIONS, Skip, with_token
from mediaserver.delivery.hls.reload import (
    BadDirective,
    Directives,
    WaitedTooLong,
    blocking_seconds,
    wait_for_data,
    wait_for_playlist,
)
from mediaserver.delivery.hls.rendition import Rendition
from mediaserver.delivery.hls.waiting import Waiters

PLAYLIST_TYPE: Final = "application/vnd.apple.mpegurl"
TRANSPORT_STREAM_TYPE: Final = "video/mp2t"
RETRY_AFTER_SECONDS: Final = 2
MEDIA_MAX_AGE: Final = 3600
COMPRESSION_LEVEL: Final = 4
GZIP_WINDOW_BITS: Final = 31


class _Startable(Protocol):
    """A packager that may not have anything to list yet."""

    @property
    def is_ready(self) -> bool: ...

    @property
    def is_ended(self) -> bool: ...

    @property
    def waiters(self) -> Waiters: ...


class HlsRoutes:
    """The handlers; ``add_hls_routes`` puts them into an application."""

    def __init__(self, directory: HlsDirectory, gate: PlaybackGate, client_address: ClientAddress) -> None:
        self._directory = directory
        self._gate = gate
        self._client_address = client_address

    async def multivariant(self, request: web.Request) -> web.Response:
        """The multivariant playlist, held until there is one. 404 when nothing is live, 503 past patience."""
        access = await self._access(request)
        packager = self._directory.find(access.room_id)
        if packager is None:
            raise _not_found("room is not live")
        self._refuse_when_full(request, access, packager.audience)
        await self._wait_until_ready(packager)
        return _playlist(request, packager.multivariant(), max(packager.target_duration // 2, 1))

    async def file(self, request: web.Request) -> web.Response:
        """A media playlist, or one of the files it names."""
        name = request.match_info["file"]
        session_name, _, rest = name.partition("-")
        access = await self._access(request)
        packager = self._directory.find_session(access.room_id, session_name)
        rendition = (
            packager.find(f"{session_name}-{rest.partition('.')[0]}") if packager is not None else None
        )
        if packager is None or rendition is None:
            raise _not_found("no such file")
        if name == rendition.uri:
            return await self._media_playlist(request, packager, rendition)
        return await self._data(request, packager, rendition, name)

    async def transport_stream_playlist(self, request: web.Request) -> web.Response:
        """The media playlist of the room in MPEG-TS, held until there is one."""
        access = await self._access(request)
        packager = self._directory.transport_stream(access.room_id)
        if packager is None:
            raise _not_found("room is not live")
        self._refuse_when_full(request, access, packager.audience)
        await self._wait_until_ready(packager)
        packager.audience.note(*self._viewer(request))
        return _playlist(request, packager.playlist(), max(packager.target_duration // 2, 1))

    async def transport_stream_segment(self, request: web.Request) -> web.Response:
        packager = self._directory.find_transport_stream((await self._access(request)).room_id)
        data = packager.data(request.match_info["file"]) if packager is not None else None
        if packager is None or data is None:
            raise _not_found("no such file")
        packager.touch()
        return _media(request, data, TRANSPORT_STREAM_TYPE)

    async def _media_playlist(
        self, request: web.Request, packager: HlsPackager, rendition: Rendition
    ) -> web.Response:
        """Held back as its delivery directives ask: 400 for bad ones, 503 past three target durations."""
        packager.audience.note(*self._viewer(request))
        deadline = _now() + blocking_seconds(packager.target_duration)
        try:
            # After the end they are ignored, whatever they say (6.2.5).
            directives = Directives() if rendition.is_ended else Directives.parse(request.query)
            await wait_for_playlist(rendition, packager.timing, directives, deadline)
        except BadDirective as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        except WaitedTooLong as error:
            raise _unavailable("no new media") from error
        if not rendition.is_listed and not rendition.is_ended:
            raise _not_found("nothing is listed yet")
        skip = Skip.NOTHING if rendition.is_ended else directives.skip
        is_compressed = _takes_gzip(request) and "token" not in request.query
        body = rendered(packager, rendition, skip, is_compressed)
        target = packager.target_duration
        max_age = SKIP_TARGET_DURATIONS * target if directives.is_blocking else max(target // 2, 1)
        return _playlist(request, body, max_age, is_compressed)

    async def _data(
        self, request: web.Request, packager: HlsPackager, rendition: Rendition, name: str
    ) -> web.Response:
        """The hinted part is held until every byte of it is there (6.2.6)."""
        deadline = _now() + blocking_seconds(packager.target_duration)
        try:
            data = await wait_for_data(rendition, packager.store, name, deadline)
        except WaitedTooLong as error:
            raise _unavailable("no new media") from error
        if data is None:
            raise _not_found("no such file")
        return _media(request, data, f"{rendition.track.kind.value}/mp4")

    async def _access(self, request: web.Request) -> RoomAccess:
        return await self._gate.access(request, request.match_info["room"])

    def _refuse_when_full(self, request: web.Request, access: RoomAccess, audience: Audience) -> None:
        """Who watches already is not kept out by themselves; only newcomers count."""
        if access.max_viewers is None or audience.knows(*self._viewer(request)[:2]):
            return
        refuse_when_full(access, self._directory.viewers_by_all_doors(access.room_id))

    async def _wait_until_ready(self, packager: _Startable) -> None:
        deadline = _now() + self._directory.options.start_wait
        while not (packager.is_ready or packager.is_ended):
            if not await packager.waiters.wait(deadline):
                raise _unavailable("nothing is listed yet")
        if not packager.is_ready:
            raise _not_found("room is not live")

    def _viewer(self, request: web.Request) -> tuple[str, str, float]:
        return self._client_address.of(request), request.headers.get(hdrs.USER_AGENT, ""), _now()


def rendered(packager: HlsPackager, rendition: Rendition, skip: Skip, is_compressed: bool) -> bytes:
    """The media playlist, rendered anew only when it would say something else."""
    body = rendition.rendered.get((skip, is_compressed))
    if body is None:
        if is_compressed:
            body = _gzip(rendered(packager, rendition, skip, False))
        else:
            body = packager.playlist(rendition).render(skip)
        rendition.rendered[skip, is_compressed] = body
    return body


def add_hls_routes(
    app: web.Application, directory: HlsDirectory, gate: PlaybackGate, client_address: ClientAddress
) -> None:
    """Add everything under `/hls/`. The application must run with ``handler_cancellation``."""
    routes = HlsRoutes(directory, gate, client_address)
    app.router.add_get("/hls/{room}/index.m3u8", routes.multivariant)
    app.router.add_get("/hls/{room}/ts/index.m3u8", routes.transport_stream_playlist)
    app.router.add_get("/hls/{room}/ts/{file}", routes.transport_stream_segment)
    app.router.add_get("/hls/{room}/{file}", routes.file)


def _playlist(request: web.Request, body: bytes, max_age: int, is_compressed: bool = False) -> web.Response:
    token = request.query.get("token")
    if token:
        body = with_token(body, quote(token, safe=""))
    headers = {
        hdrs.CONTENT_TYPE: PLAYLIST_TYPE,
        hdrs.CACHE_CONTROL: _cache_control(request, f"max-age={max_age}"),
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
    }
    if is_compressed:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=body, headers=headers)


def _media(request: web.Request, data: bytes | memoryview, content_type: str) -> web.Response:
    headers = {
        hdrs.CONTENT_TYPE: content_type,
        hdrs.CACHE_CONTROL: _cache_control(request, f"max-age={MEDIA_MAX_AGE}, immutable"),
    }
    return web.Response(body=data, headers=headers)


def _cache_control(request: web.Request, policy: str) -> str:
    """What a token opened may be kept by its viewer alone."""
    is_private = "token" in request.query or hdrs.AUTHORIZATION in request.headers
    return f"private, {policy}" if is_private else f"public, {policy}"


def _takes_gzip(request: web.Request) -> bool:
    return "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")


def _gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(COMPRESSION_LEVEL, wbits=GZIP_WINDOW_BITS)
    return compressor.compress(body) + compressor.flush()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _not_found(text: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=text, headers=_retry_later())


def _unavailable(text: str) -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(text=text, headers=_retry_later())


def _retry_later() -> dict[str, str]:
    return {hdrs.RETRY_AFTER: str(RETRY_AFTER_SECONDS), hdrs.CACHE_CONTROL: "no-store"}
