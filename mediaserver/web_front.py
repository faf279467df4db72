"""Everything HTTP: the doors of the media plane, the pages, health and metrics, on one port."""

from aiohttp import web

from control_api.payments.return_addresses import ReturnAddresses
from control_api.services.playback import PlaybackAccess
from mediaserver.authorizer import Authorizer
from mediaserver.chat_plane import ChatPlane
from mediaserver.chat_ports import RoomAdmission
from mediaserver.config import Settings
from mediaserver.control_plane import ControlPlane
from mediaserver.delivery.client_address import ClientAddress
from mediaserver.delivery.gate import AuthorizedGate
from mediaserver.delivery.hls.routes import add_hls_routes
from mediaserver.delivery.http_app import create_http_app
from mediaserver.delivery.http_server import HttpServer
from mediaserver.delivery.live_routes import add_live_routes
from mediaserver.delivery.pages import add_pages
from mediaserver.delivery.test_checkout import add_test_checkout
from mediaserver.errors import StartError
from mediaserver.media_plane import MediaPlane
from mediaserver.observability.health import Check, add_health_routes
from mediaserver.observability.loop_lag import LoopLag
from mediaserver.observability.metrics import (
    MetricSource,
    add_metrics_route,
    bus_metrics,
    chat_metrics,
    counters_of,
    database_metrics,
    delivery_metrics,
    hls_metrics,
    http_metrics,
    hub_metrics,
    loop_metrics,
    webrtc_metrics,
)
from mediaserver.room_board import HubRoomBoard
from mediaserver.rtc_access import RtcAccess
from mediaserver.webrtc_access import WebRtcAccess
from mediaserver.webrtc_plane import WebRtcPlane
from storage.database import Database
from storage.errors import StorageError
from storage.redis_bus import BusRelay
from storage.shared_state import SharedState


class WebFront:
    """``run`` is its one task; ``port`` is known after ``start``."""

    def __init__(
        self,
        settings: Settings,
        media: MediaPlane,
        webrtc: WebRtcPlane,
        authorizer: Authorizer,
        control: ControlPlane,
        chat: ChatPlane,
        client_address: ClientAddress,
        database: Database,
        state: SharedState,
        lag: LoopLag,
        relay: BusRelay | None,
    ) -> None:
        self._media = media
        self._webrtc = webrtc
        self._chat = chat
        self._database = database
        self._client_address = client_address
        gate = AuthorizedGate(authorizer, self._client_address)
        app = create_http_app(settings.api.max_body_bytes)
        self._server = HttpServer(app)
        add_live_routes(app, media.live, gate)
        add_hls_routes(app, media.hls, gate, self._client_address)
        add_pages(app, gate, HubRoomBoard(media.hub, authorizer), lambda: media.rtmp_port, has_webrtc=True)
        control.api.add_to(app)
        if control.test_till is not None:
            add_test_checkout(app, control.test_till, ReturnAddresses(""))
        if control.test_subscription_till is not None:
            add_test_checkout(app, control.test_subscription_till, ReturnAddresses("", "subscription"))
        chat.open_door(app, control.chat_sign_in)
        self._open_webrtc(app, authorizer, control, state, settings.rtc.connections_per_minute)
        add_health_routes(app, self._checks(settings, control))
        if settings.metrics.enabled:
            add_metrics_route(app, self._metric_sources(lag, relay))
        self.port = 0

    def _open_webrtc(
        self,
        app: web.Application,
        authorizer: Authorizer,
        control: ControlPlane,
        state: SharedState,
        connections_per_minute: int,
    ) -> None:
        tokens = control.publish_tokens
        rooms = RtcAccess(
            self._database,
            control.chat_sign_in,
            authorizer,
            RoomAdmission(self._database, PlaybackAccess(self._database)),
            tokens,
            state,
            connections_per_minute,
        )
        access = WebRtcAccess(authorizer, self._media.live, tokens)
        self._webrtc.open_doors(app, access, rooms, self._client_address.of)

    async def start(self, settings: Settings) -> None:
        """Listen. Raises StartError when the port cannot be had."""
        host, port = settings.http.host, settings.http.port
        try:
            self.port = await self._server.start(host, port)
        except OSError as error:
            raise StartError(f"http.port: cannot listen on {host} port {port}: {error.strerror}") from error

    async def run(self) -> None:
        await self._server.run_sweeps()

    def apply(self, settings: Settings) -> None:
        self._client_address.trusted_proxies = settings.http.trusted_proxies

    async def drain(self) -> None:
        await self._server.stop_listening()

    async def close(self) -> None:
        await self._server.close()

    def _metric_sources(self, lag: LoopLag, relay: BusRelay | None) -> list[MetricSource]:
        media, webrtc = self._media, self._webrtc
        return [
            hub_metrics(media.hub),
            delivery_metrics(media.live),
            hls_metrics(media.hls),
            chat_metrics(self._chat),
            webrtc_metrics(webrtc),
            counters_of("webrtc_media", "WebRTC media", lambda: webrtc.server.counters.media),
            counters_of("webrtc_mux", "WebRTC datagrams", lambda: webrtc.server.counters.mux),
            counters_of("webrtc_sockets", "WebRTC sockets", lambda: webrtc.server.counters.sockets),
            counters_of("webrtc_ingest", "WebRTC publishers", lambda: webrtc.ingest.counters),
            counters_of("webrtc_play", "Streams for WebRTC viewers", lambda: webrtc.play.counters),
            counters_of("rtmp", "RTMP server", lambda: media.rtmp.counters),
            counters_of("ingest", "RTMP publishers", lambda: media.ingest.counters),
            http_metrics(self._server),
            database_metrics(self._database),
            bus_metrics(relay),
            loop_metrics(lag),
        ]

    def _checks(self, settings: Settings, control: ControlPlane) -> dict[str, Check]:
        checks: dict[str, Check] = {
            "database": self._check_database,
            "objects": control.check_objects,
            "rtmp": self._check_rtmp,
        }
        if settings.redis_url is not None:
            checks["redis"] = control.check_redis
        return checks

    async def _check_database(self) -> str | None:
        try:
            await self._database.ping()
        except StorageError as error:
            return str(error)
        return None

    async def _check_rtmp(self) -> str | None:
        return None if self._media.rtmp.is_listening else "not listening"
