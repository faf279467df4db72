"""Everything media flows through: RTMP in, the hub, and the outputs of each stream.

It stands on an authorizer and knows nothing of databases: media flows on when one is lost.
"""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from mediaserver.authorizer import Authorizer
from mediaserver.config import Settings
from mediaserver.delivery.broadcast import BroadcastOptions
from mediaserver.delivery.hls.directory import HlsDirectory
from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.live import LiveDelivery
from mediaserver.errors import StartError
from mediaserver.gateways.rtmp_ingest import RtmpIngest
from mediaserver.gateways.rtmp_play import RtmpPlayback
from mediaserver.hub.gop_cache import GopCacheLimits
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import Stream
from mediaserver.playback_sessions import SessionReview
from rtmp.limits import RtmpLimits
from rtmp.protocol.chunks import ChunkLimits
from rtmp.protocol.session import SessionLimits
from rtmp.server import RtmpServer
from storage.bus import Bus, RoomDeleted, RoomOwnerChanged, StreamKeyRotated

DRAIN_POLL_SECONDS: Final = 0.1

logger = structlog.get_logger("mediaserver")


class MediaPlane:
    """Built from the settings, started on its ports, drained, closed."""

    def __init__(self, settings: Settings, authorizer: Authorizer, bus: Bus) -> None:
        gop_cache = GopCacheLimits(
            settings.gop_cache.enabled, settings.gop_cache.max_packets, settings.gop_cache.max_bytes
        )
        self.hub = Hub(settings.rtmp.publish_grace_seconds, gop_cache)
        self.live = LiveDelivery(self.hub, BroadcastOptions(), gop_cache)
        self._review = SessionReview(self.live.sessions, authorizer, bus)
        self.hls = HlsDirectory(self.hub, _hls_options(settings))
        self.hub.add_listener(self.hls)
        self.ingest = RtmpIngest(self.hub)
        self.rtmp = RtmpServer(authorizer, self.ingest, RtmpPlayback(self.live), rtmp_limits(settings))
        self.rtmp_port = 0
        self.rtmps_port: int | None = None
        self._tls: ssl.SSLContext | None = None
        self.apply(settings)
        self._drop_publishers_of_changed_keys(bus)

    def apply(self, settings: Settings) -> None:
        """Take over the settings that can change while running."""
        broadcast, options = settings.broadcast, self.live.options
        options.merge_window = broadcast.merge_window_ms / 1000
        options.slow_seconds = broadcast.slow_viewer_seconds
        options.slow_bytes = broadcast.slow_viewer_bytes
        options.close_after = broadcast.close_after_seconds
        self.live.max_viewers = broadcast.max_viewers
        self.hub.grace_seconds = settings.rtmp.publish_grace_seconds
        self.rtmp.apply(rtmp_limits(settings))
        self._renew_certificate(settings)

    async def start(self, settings: Settings) -> None:
        """Listen for RTMP, and RTMPS when it is on. Raises StartError when a port or certificate is bad."""
        host = settings.rtmp.host
        self.rtmp_port = await self._listen("rtmp.port", host, settings.rtmp.port, None)
        if settings.rtmps.port is not None:
            self._tls = _tls_context(settings)
            self.rtmps_port = await self._listen("rtmps.port", host, settings.rtmps.port, self._tls)

    async def drain(self, seconds: float) -> None:
        """Take no new publishers, ask the others to reconnect elsewhere; wait for them and the viewers."""
        deadline = asyncio.get_running_loop().time() + seconds
        left = await self.rtmp.drain(seconds)
        while self.live.viewers and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_SECONDS)
        logger.info("drained", publishers_left=left, viewers_left=self.live.viewers)

    async def close(self) -> None:
        await self._review.close()
        await self.rtmp.close()
        self.hub.close()
        self.hls.close()

    @contextmanager
    def moving(self, stream: Stream) -> Iterator[None]:
        """Within the block, the sound of ``stream`` becomes Opus: its players go on with what they know."""
        with self.live.moving(stream), self.hls.moving(stream):
            yield

    def viewer_count(self, room_id: str) -> int:
        stream = self.hub.find(room_id)
        return stream.viewer_count if stream is not None else 0

    def _renew_certificate(self, settings: Settings) -> None:
        """Read the certificate anew for connections from now on; a bad one leaves the old one in place."""
        if self._tls is None:
            return
        try:
            _tls_context(settings)  # tried apart first: a half-loaded pair would refuse everybody
            _load_certificate(self._tls, settings)
        except StartError as error:
            logger.error("certificate_not_renewed", reason=str(error))

    async def _listen(self, setting: str, host: str, port: int, context: ssl.SSLContext | None) -> int:
        try:
            return await self.rtmp.start(host, port, context)
        except OSError as error:
            raise StartError(f"{setting}: cannot listen on {host} port {port}: {error.strerror}") from error

    def _drop_publishers_of_changed_keys(self, bus: Bus) -> None:
        bus.subscribe(StreamKeyRotated, lambda event: self._drop(event.room_id, "stream key changed"))
        bus.subscribe(RoomDeleted, lambda event: self._drop(event.room_id, "room deleted"))
        bus.subscribe(RoomOwnerChanged, self._owner_changed)

    def _owner_changed(self, event: RoomOwnerChanged) -> None:
        if not event.is_active:
            self._drop(event.room_id, "account not active")

    def _drop(self, room_id: str, reason: str) -> None:
        if self.hub.kick(room_id, reason):
            logger.info("publisher_dropped", room_id=room_id, reason=reason)


def rtmp_limits(settings: Settings) -> RtmpLimits:
    rtmp = settings.rtmp
    chunks = ChunkLimits(max_chunk_size=rtmp.max_chunk_bytes, max_message_size=rtmp.max_message_bytes)
    return RtmpLimits(
        session=SessionLimits(chunks=chunks),
        handshake_timeout=rtmp.handshake_timeout_seconds,
        request_timeout=rtmp.connect_timeout_seconds,
        idle_timeout=rtmp.idle_timeout_seconds,
        max_connections=rtmp.max_connections,
        max_connections_per_address=rtmp.max_connections_per_address,
    )


def _hls_options(settings: Settings) -> HlsOptions:
    hls = settings.hls
    return HlsOptions(
        part_target=hls.part_target_ms / 1000,
        segment_target=hls.segment_target_seconds,
        playlist_segments=hls.playlist_segments,
        always=hls.always,
    )


def _tls_context(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load_certificate(context, settings)
    return context


def _load_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    rtmps = settings.rtmps
    try:
        context.load_cert_chain(str(rtmps.certificate_file), str(rtmps.key_file))
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"rtmps.certificate_file, rtmps.key_file: {error}") from error
