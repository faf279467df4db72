"""WebRTC beside the hub: the SFU's doors, the bridges to and from the hub, and what ends them.

A publisher over WebRTC is one of the hub's; whoever takes the room over by another door, or an operator who
ends the stream, ends its session too.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from ipaddress import IPv6Address
from typing import Final

import structlog
from aiohttp import web
from msgspec.structs import replace

from mediaserver.config import Settings
from mediaserver.config.service_settings import RtcSettings
from mediaserver.errors import StartError
from mediaserver.gateways.webrtc_audience import WebRtcAudience
from mediaserver.gateways.webrtc_ingest import WebRtcIngest
from mediaserver.gateways.webrtc_play import WebRtcPlay
from mediaserver.hub.stream import Stream
from mediaserver.media_plane import MediaPlane
from mediaserver.rtc_audience import RtcAudience
from mediaserver.transcode.aac_stream import OUTPUT_NAME as AAC_OUTPUT
from mediaserver.transcode.aac_stream import aac_stream
from mediaserver.transcode.audio_sharing import make_executor
from mediaserver.webrtc_access import WebRtcAccess
from mediaserver.webrtc_rooms import WebRtcRooms
from sfu.http_messages import IceServer
from sfu.room import RoomOptions
from sfu.room_ports import RoomAccess
from sfu.signalling import RtcSignalling
from sfu.transport_ports import TransportLimits
from sfu.webrtc_server import WebRtcOptions, WebRtcServer
from sfu.whep import DEFAULT_OPTIONS as WHEP_OPTIONS
from sfu.whep import Whep
from sfu.whip import DEFAULT_OPTIONS as WHIP_OPTIONS
from sfu.whip import Whip
from storage.bus import (
    Bus,
    ChangesMissed,
    RoomChanged,
    RoomDeleted,
    RoomOwnerChanged,
    RoomRelationChanged,
    StreamKeyRotated,
    UserChanged,
)

CLOSE_ROOM_GONE: Final = 4404
ANY_IPV6: Final = IPv6Address("::")

ClientAddressOf = Callable[[web.Request], str]

logger = structlog.get_logger("mediaserver.webrtc")


class WebRtcPlane:
    """Built from the settings; ``open_doors``, ``start``, ``tasks``, ``close``."""

    def __init__(self, settings: Settings, media: MediaPlane, bus: Bus) -> None:
        rtc, hub = settings.rtc, media.hub
        self._rtc = rtc
        self._executor = make_executor(rtc.transcode_workers)
        options = WebRtcOptions(
            max_transports_per_router=rtc.max_transports_per_room,
            transport_limits=TransportLimits(
                ingress_packets=rtc.max_ingress_packets, ingress_bitrate=rtc.max_ingress_bitrate
            ),
        )
        self.server = WebRtcServer([str(address) for address in rtc.announced_addresses], options)
        self.ingest = WebRtcIngest(hub, self._publisher_ended)
        WebRtcAudience(hub, self._viewers_of_publisher)
        self.play = WebRtcPlay(hub, self._executor, self.ingest.is_publishing)
        room_options = RoomOptions(
            participants=rtc.max_participants,
            publishers=rtc.max_publishers,
            guests_per_address=rtc.max_guests_per_address,
        )
        audience = RtcAudience(media.live, self.ingest.is_publishing)
        self.rooms = WebRtcRooms(self.server, self.ingest, self.play, room_options, audience)
        self.whip: Whip | None = None
        self.whep: Whep | None = None
        self.signalling: RtcSignalling | None = None
        self.port = 0
        self._reviews: set[asyncio.Task[None]] = set()
        self._gop_cache = media.live.gop_cache
        media.live.as_aac = media.hls.as_aac = self._as_aac
        self._subscribe(bus)

    def open_doors(
        self, app: web.Application, access: WebRtcAccess, rooms: RoomAccess, client_address: ClientAddressOf
    ) -> None:
        """Serve ``/whip``, ``/whep`` and ``/rtc`` in ``app``."""
        limits = {"most_sessions": self._rtc.max_sessions, "ice_servers": _ice_servers(self._rtc)}
        self.whip = Whip(
            access,
            self.rooms,
            client_address,
            replace(WHIP_OPTIONS, **limits),
            on_goodbye=self.ingest.finish,
        )
        self.whep = Whep(
            access,
            self.rooms,
            client_address,
            replace(WHEP_OPTIONS, **limits),
            is_starting=self.whip.is_starting,
        )
        self.signalling = RtcSignalling(self.rooms.directory, rooms)
        app.router.add_routes(self.whip.routes())
        app.router.add_routes(self.whep.routes())
        app.router.add_get("/rtc", self.signalling.handle)

    async def start(self, settings: RtcSettings) -> None:
        """Listen. Raises StartError when the port cannot be had."""
        hosts = [str(host) for host in settings.hosts if host != ANY_IPV6 or _has_ipv6()]
        try:
            self.port = await self.server.start(hosts, settings.port)
        except OSError as error:
            where = f"{' and '.join(hosts)} port {settings.port}"
            raise StartError(f"rtc.port: cannot listen on {where}: {error.strerror}") from error

    def tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What runs as long as the server, by name."""
        return {
            "webrtc_ingest": self.ingest.run,
            "webrtc_rooms": self.rooms.run,
            "rtc_rooms": self.rooms.directory.run,
        }

    async def close(self) -> None:
        """End every session, and stop."""
        if self.signalling is not None:
            self.signalling.close()
        for door in (self.whip, self.whep):
            if door is not None:
                door.close()
        for review in self._reviews:
            review.cancel()
        await asyncio.gather(*self._reviews, return_exceptions=True)
        await self.server.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _viewers_of_publisher(self, room_id: str) -> int:
        """Those of a stream from the hub are counted by what it is offered in."""
        if self.whep is None or not self.ingest.is_publishing(room_id):
            return 0
        return self.whep.sessions.connected(room_id)

    def _as_aac(self, stream: Stream) -> Stream:
        """Browsers publish nothing but Opus; whose encoder chose it over RTMP has players for it."""
        is_interrupted = stream.find_shared(AAC_OUTPUT) is not None  # its players go on with what they have
        if not (is_interrupted or self.ingest.is_publishing(stream.room_id)):
            return stream
        return aac_stream(stream, self._executor, self._gop_cache)

    def _publisher_ended(self, room_id: str, reason: str) -> None:
        if self.whip is not None:
            self.whip.close_room(room_id)

    # Changes

    def _subscribe(self, bus: Bus) -> None:
        bus.subscribe(RoomDeleted, self._room_deleted)
        bus.subscribe(StreamKeyRotated, lambda event: self._end_publisher(event.room_id))
        bus.subscribe(RoomOwnerChanged, self._owner_changed)
        bus.subscribe(RoomChanged, lambda event: self._review(room_id=event.room_id))
        bus.subscribe(UserChanged, self._user_changed)
        bus.subscribe(RoomRelationChanged, lambda event: self._review(identity=event.user_id))
        bus.subscribe(ChangesMissed, lambda _: self._changes_missed())

    def _room_deleted(self, event: RoomDeleted) -> None:
        self.rooms.directory.end(event.room_id, CLOSE_ROOM_GONE, "the room was deleted")
        for door in (self.whip, self.whep):
            if door is not None:
                door.close_room(event.room_id)
        self.rooms.end(event.room_id)
        self._review(room_id=event.room_id)  # who is being let in just now

    def _owner_changed(self, event: RoomOwnerChanged) -> None:
        if not event.is_active:
            self._end_publisher(event.room_id)
        self._review(room_id=event.room_id)

    def _end_publisher(self, room_id: str) -> None:
        """A publisher whose picture has not come yet is none of the hub's, which drops the others."""
        if self.whip is not None:
            self.whip.close_room(room_id)

    def _user_changed(self, event: UserChanged) -> None:
        self._review(identity=event.user_id)
        if self.whip is not None:
            self._begin(self.whip.review(event.user_id))

    def _changes_missed(self) -> None:
        self._review()
        if self.whip is not None:
            self._begin(self.whip.review())

    def _review(self, room_id: str | None = None, identity: str | None = None) -> None:
        if self.signalling is not None and self.signalling.connection_count:
            self._begin(self.signalling.review(room_id=room_id, identity=identity))

    def _begin(self, review: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(review)
        self._reviews.add(task)
        task.add_done_callback(self._reviews.discard)


def _ice_servers(rtc: RtcSettings) -> tuple[IceServer, ...]:
    credential = rtc.ice_credential.get_secret_value() if rtc.ice_credential is not None else ""
    return tuple(
        IceServer(url=url, username=rtc.ice_username or "", credential=credential) for url in rtc.ice_servers
    )


def _has_ipv6() -> bool:
    """Whether this machine can listen on IPv6; in many containers it cannot."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ANY_IPV6), 0))
    except OSError:
        return False
    return True
