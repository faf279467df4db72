"""The pages `/`, `/watch/{room}`, `/studio` and `/creator`, and the two JSON documents they live on.

    GET /live/{room}.json   one room: who it is, whether it is live, how many watch, what it carries
    GET /live.json          the rooms that are live and public, and where to publish

The pages are the same for every room but for their title, and hold no script or style of their own, so that
a strict Content-Security-Policy fits.
"""

import hashlib
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

from aiohttp import hdrs, web

from mediaserver.authorizer import RoomAccess
from mediaserver.delivery.static_files import StaticFiles, add_static_routes

WEB_FOLDER: Final = Path(__file__).parent.parent / "web"

POLL_SECONDS: Final = 5.0
POLLS_PER_SECOND: Final = 100
"""All viewers of one room together ask for its status about this often at most."""

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    )
)
PAGE_HEADERS: Final[Mapping[str, str]] = {
    hdrs.CONTENT_TYPE: "text/html; charset=utf-8",
    hdrs.CACHE_CONTROL: "no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), display-capture=(), geolocation=(), payment=(), usb=()",
    # An address may hold a token.
    "Referrer-Policy": "no-referrer",
}
WATCH_HEADERS: Final[Mapping[str, str]] = {
    **PAGE_HEADERS,
    # For viewers who are invited onto the stage.
    "Permissions-Policy": (
        "camera=(self), microphone=(self), display-capture=(), geolocation=(), payment=(), usb=()"
    ),
}
STUDIO_HEADERS: Final[Mapping[str, str]] = {
    **PAGE_HEADERS,
    "Permissions-Policy": (
        "camera=(self), microphone=(self), display-capture=(self), geolocation=(), payment=(), usb=()"
    ),
}
NO_STORE: Final = {hdrs.CACHE_CONTROL: "no-store"}


class RoomState(Enum):
    WAITING = "waiting"
    """Nobody publishes."""
    LIVE = "live"
    INTERRUPTED = "interrupted"
    """The publisher dropped and may come back within the grace window."""
    ENDED = "ended"
    """The last broadcast ended a short time ago."""


@dataclass(frozen=True, slots=True)
class VideoStatus:
    """``codec`` after RFC 6381; sizes in pixels and ``frame_rate`` in Hz, 0 where unknown."""

    codec: str
    width: int
    height: int
    frame_rate: float


@dataclass(frozen=True, slots=True)
class AudioStatus:
    """``codec`` after RFC 6381; ``sample_rate`` in Hz."""

    codec: str
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class LiveEdge:
    """The newest packet: its ``media_time`` on the stream's timeline and its ``age``, both in seconds.

    With these a player knows how long after its arrival at the server it shows a picture.
    """

    media_time: float
    age: float


@dataclass(frozen=True, slots=True)
class RoomStatus:
    """``bitrate`` in bit/s. What belongs to a stream is None, or 0, while there is none."""

    room: RoomAccess
    state: RoomState
    viewers: int = 0
    started_at: datetime | None = None
    video: VideoStatus | None = None
    audio: AudioStatus | None = None
    bitrate: int = 0
    edge: LiveEdge | None = None


class RoomBoard(Protocol):
    """What the pages need to know of rooms."""

    def status(self, room: RoomAccess) -> RoomStatus:
        """How ``room`` is doing now."""

    async def listed(self) -> Sequence[RoomStatus]:
        """The live rooms that may be shown to everyone, the most watched first."""


class RoomGate(Protocol):
    """Decides whether a request may watch a room."""

    async def access(self, request: web.Request, room_ref: str) -> RoomAccess:
        """The room and what may be told of it. Raises as mediaserver.delivery.gate.PlaybackGate."""


class Pages:
    """The handlers; ``add_pages`` puts them into an application."""

    def __init__(
        self, gate: RoomGate, board: RoomBoard, rtmp_port: Callable[[], int], has_webrtc: bool = False
    ) -> None:
        self._gate = gate
        self._board = board
        self._rtmp_port = rtmp_port
        self._has_webrtc = has_webrtc
        self.files: Final = StaticFiles(WEB_FOLDER)
        self._home = _Template(WEB_FOLDER / "home.html", self.files.prefix)
        self._watch = _Template(WEB_FOLDER / "watch.html", self.files.prefix)
        self._studio = _Template(WEB_FOLDER / "studio.html", self.files.prefix)
        self._creator = _Template(WEB_FOLDER / "creator.html", self.files.prefix)

    async def home(self, request: web.Request) -> web.Response:
        return _page(request, self._home.render())

    async def watch(self, request: web.Request) -> web.Response:
        """The player. For a room that cannot be watched it says so, with the status that belongs to it."""
        try:
            status = await self._status(request)
        except web.HTTPException as error:
            return _page(request, self._watch.render(), error.status, WATCH_HEADERS)
        return _page(request, self._watch.render(status.room.title), headers=WATCH_HEADERS)

    async def studio(self, request: web.Request) -> web.Response:
        """For those who publish from the browser; who may is asked of the API by the page."""
        return _page(request, self._studio.render(), headers=STUDIO_HEADERS)

    async def creator(self, request: web.Request) -> web.Response:
        """What creators earn and offer; whose page it is, the page asks the API."""
        return _page(request, self._creator.render())

    async def room_status(self, request: web.Request) -> web.Response:
        status = await self._status(request)
        document = room_document(status, self._has_webrtc)
        document["pollAfter"] = round(max(POLL_SECONDS, status.viewers / POLLS_PER_SECOND), 1)
        return web.json_response(document, headers=NO_STORE)

    async def live_rooms(self, _request: web.Request) -> web.Response:
        rooms = await self._board.listed()
        document = {
            "rooms": [room_document(room, self._has_webrtc) for room in rooms],
            "publish": {"rtmpPort": self._rtmp_port(), "application": "live"},
        }
        return web.json_response(document, headers=NO_STORE)

    async def _status(self, request: web.Request) -> RoomStatus:
        return self._board.status(await self._gate.access(request, request.match_info["room"]))


def add_pages(
    app: web.Application,
    gate: RoomGate,
    board: RoomBoard,
    rtmp_port: Callable[[], int],
    has_webrtc: bool = False,
) -> None:
    """``rtmp_port`` is where to publish, known once the server listens.

    With ``has_webrtc`` the watch page plays by WHEP where the room and the browser can, and has a stage.
    """
    pages = Pages(gate, board, rtmp_port, has_webrtc)
    app.router.add_get("/", pages.home)
    app.router.add_get("/watch/{room}", pages.watch)
    app.router.add_get("/studio", pages.studio)
    app.router.add_get("/creator", pages.creator)
    app.router.add_get("/live.json", pages.live_rooms)
    app.router.add_get("/live/{room}.json", pages.room_status)
    add_static_routes(app, pages.files)


def room_document(status: RoomStatus, has_webrtc: bool = False) -> dict[str, object]:
    """``status`` as the pages read it."""
    room, video, audio, edge = status.room, status.video, status.audio, status.edge
    is_real_time = has_webrtc and room.low_latency
    real_time = [{"type": "whep", "path": f"/whep/{room.room_id}"}] if is_real_time else []
    return {
        "roomId": room.room_id,
        "slug": room.slug,
        "title": room.title,
        "owner": room.owner_name,
        "ownerId": str(room.owner_id) if room.owner_id is not None else None,
        "state": status.state.value,
        "viewers": status.viewers,
        "startedAt": _timestamp(status.started_at),
        "bitrate": status.bitrate,
        "video": video
        and {
            "codec": video.codec,
            "width": video.width,
            "height": video.height,
            "frameRate": video.frame_rate,
        },
        "audio": audio
        and {"codec": audio.codec, "sampleRate": audio.sample_rate, "channels": audio.channels},
        "edge": edge and {"mediaTime": round(edge.media_time, 3), "age": round(edge.age, 3)},
        "sources": [
            *real_time,
            {"type": "fmp4", "path": f"/live/{room.room_id}.mp4"},
            {"type": "hls", "path": f"/hls/{room.room_id}/index.m3u8"},
        ],
        "hasStage": has_webrtc,
    }


class _Template:
    """A page with `{{static}}` filled in for good and `{{title}}` for each answer."""

    def __init__(self, path: Path, static_prefix: str) -> None:
        self._text = path.read_text(encoding="utf-8").replace("{{static}}", static_prefix)

    def render(self, title: str | None = None) -> bytes:
        name = f"{title} · mediaserver" if title else "mediaserver"
        return self._text.replace("{{title}}", html.escape(name)).encode()


def _page(
    request: web.Request, body: bytes, status: int = 200, headers: Mapping[str, str] = PAGE_HEADERS
) -> web.Response:
    """``body``, or 304 for a browser that has it."""
    entity_tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {**headers, hdrs.ETAG: entity_tag}
    if status == 200 and entity_tag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, status=status, headers=headers)


def _timestamp(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds") if moment is not None else None
