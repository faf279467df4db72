"""`/hls/{room}/…`: playlists, initialization segments, segments and parts.

Everything is answered from bytes that are kept: a playlist is rendered once per change, however many ask.
"""

from typing import Final
from urllib.parse import quote

from aiohttp import hdrs, web

from mediaserver.delivery.client_address import ClientAddress
from mediaserver.delivery.gate import PlaybackGate
from mediaserver.delivery.hls.directory import HlsDirectory
from mediaserver.delivery.hls.packager import HlsPackager
from mediaserver.delivery.hls.playlist import (
    Links,
    media_playlist,
    multivariant_playlist,
    transport_stream_playlist,
)
from mediaserver.delivery.hls.reload import (
    BadDirective,
    Directives,
    WaitedTooLong,
    wait_for_part,
    wait_for_update,
)
from mediaserver.delivery.hls.rendition import Rendition

READY_SECONDS: Final = 15.0
RETRY_AFTER: Final = {hdrs.RETRY_AFTER: "2", hdrs.CACHE_CONTROL: "no-store"}
PLAYLIST_TYPE: Final = "application/vnd.apple.mpegurl"
MEDIA_CACHE: Final = "public, max-age=3600, immutable"
SKIP_TARGET_DURATIONS: Final = 6


class HlsRoutes:
    """The handlers; ``add_hls_routes`` puts them into an application."""

    def __init__(self, directory: HlsDirectory, gate: PlaybackGate, client_address: ClientAddress) -> None:
        self._directory = directory
        self._gate = gate
        self._client_address = client_address

    async def multivariant(self, request: web.Request) -> web.Response:
        packager = await self._packager(request)
        if not await packager.wait_ready(READY_SECONDS):
            raise _not_live()
        return _playlist(multivariant_playlist(packager, _links(request)), 1)

    async def media(self, request: web.Request) -> web.Response:
        """A media playlist, held back as its delivery directives ask."""
        packager, rendition = await self._rendition(request)
        if not await packager.wait_ready(READY_SECONDS):
            raise _not_live()
        try:
            directives = Directives.parse(request.query)
            await wait_for_update(packager, rendition, directives)
        except BadDirective as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        except WaitedTooLong as error:
            raise web.HTTPServiceUnavailable(text="no new media", headers=RETRY_AFTER) from error
        user_agent = request.headers.get(hdrs.USER_AGENT, "")
        packager.audience.note(self._client_address.of(request), user_agent)
        max_age = packager.target_duration * SKIP_TARGET_DURATIONS if directives.is_blocking else 1
        body = rendition_playlist(packager, rendition, _links(request), directives.is_delta)
        return _playlist(body, max_age)

    async def resource(self, request: web.Request) -> web.Response:
        """An initialization segment, a segment or a part; the hinted part once it is complete."""
        packager, rendition = await self._rendition(request)
        try:
            data = await wait_for_part(packager, rendition, request.match_info["file"])
        except WaitedTooLong as error:
            raise web.HTTPServiceUnavailable(text="no new media", headers=RETRY_AFTER) from error
        if data is None:
            raise web.HTTPNotFound(text="no such segment", headers={hdrs.CACHE_CONTROL: "max-age=1"})
        kind = f"{rendition.track.kind.value}/mp4"
        return web.Response(body=data, content_type=kind, headers={hdrs.CACHE_CONTROL: MEDIA_CACHE})

    async def transport_stream(self, request: web.Request) -> web.Response:
        """Playlist and segments in MPEG-TS."""
        room_id = await self._gate.may_watch(request, request.match_info["room"])
        packager = self._directory.transport_stream(room_id)
        if packager is None or not await packager.wait_ready(READY_SECONDS):
            raise _not_live()
        user_agent = request.headers.get(hdrs.USER_AGENT, "")
        packager.audience.note(self._client_address.of(request), user_agent)
        packager.touch()
        name = request.match_info["file"]
        if name == "index.m3u8":
            return _playlist(transport_stream_playlist(packager, _links(request)), 1)
        data = packager.resource(name)
        if data is None:
            raise web.HTTPNotFound(text="no such segment")
        return web.Response(body=data, content_type="video/mp2t", headers={hdrs.CACHE_CONTROL: MEDIA_CACHE})

    async def _packager(self, request: web.Request) -> HlsPackager:
        room_id = await self._gate.may_watch(request, request.match_info["room"])
        session = request.match_info.get("session")
        if session is None:
            packager = self._directory.current(room_id)
        else:
            packager = self._directory.find_session(room_id, session)
        if packager is None:
            raise _not_live()
        return packager

    async def _rendition(self, request: web.Request) -> tuple[HlsPackager, Rendition]:
        packager = await self._packager(request)
        name = f"{packager.session}-{request.match_info['track']}"
        for rendition in packager.renditions.values():
            if rendition.name == name:
                return packager, rendition
        raise web.HTTPNotFound(text="no such rendition")


def rendition_playlist(packager: HlsPackager, rendition: Rendition, links: Links, is_delta: bool) -> bytes:
    """The media playlist, rendered anew only when it would say something else."""
    if links.suffix:
        return media_playlist(packager, rendition, links, is_delta)
    cached = rendition.playlists.get(is_delta)
    if cached is None or cached[0] != rendition.version:
        cached = (rendition.version, media_playlist(packager, rendition, links, is_delta))
        rendition.playlists[is_delta] = cached
    return cached[1]


def add_hls_routes(
    app: web.Application, directory: HlsDirectory, gate: PlaybackGate, client_address: ClientAddress
) -> None:
    """Add everything under `/hls/`."""
    routes = HlsRoutes(directory, gate, client_address)
    track = "{session:[0-9a-f]{12}}-{track:[va][0-9]{1,3}}"
    app.router.add_get("/hls/{room}/index.m3u8", routes.multivariant)
    app.router.add_get("/hls/{room}/ts/{file:index\\.m3u8|[0-9a-f]{12}-[0-9]+\\.ts}", routes.transport_stream)
    app.router.add_get(f"/hls/{{room}}/{track}.m3u8", routes.media)
    app.router.add_get(
        "/hls/{room}/{file:(?P<session>[0-9a-f]{12})-(?P<track>[va][0-9]{1,3})-[0-9a-z.-]{1,64}}",
        routes.resource,
    )


def _links(request: web.Request) -> Links:
    token = request.query.get("token")
    return Links(f"?token={quote(token, safe='')}" if token else "")


def _playlist(body: bytes, max_age: int) -> web.Response:
    headers = {hdrs.CACHE_CONTROL: f"max-age={max_age}", hdrs.CONTENT_TYPE: PLAYLIST_TYPE}
    return web.Response(body=body, headers=headers)


def _not_live() -> web.HTTPNotFound:
    return web.HTTPNotFound(text="room is not live", headers=RETRY_AFTER)
