"""The composition root: what there is, in the order in which it is built, started, drained and stopped."""

import asyncio
import gc
import resource
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from uuid import UUID

import structlog

from control_api.playback_grants import PlaybackGrants
from mediaserver.accounts import Accounts
from mediaserver.addresses import Addresses
from mediaserver.authorizer import Authorizer
from mediaserver.chat_api_ports import ApiModeration, HubPeople
from mediaserver.chat_plane import ChatGround, ChatPlane
from mediaserver.config import Settings, SettingsError, reload_settings
from mediaserver.control_plane import ControlPlane, Ground
from mediaserver.data_directory import DataDirectory
from mediaserver.delivery.client_address import ClientAddress
from mediaserver.first_start import FirstStart, demo_room, prepare_first_start, welcome
from mediaserver.live_state import LiveState
from mediaserver.media_plane import MediaPlane
from mediaserver.observability.logging import configure_logging, set_log_level
from mediaserver.observability.loop_lag import LoopLag
from mediaserver.payments import check_test_coins
from mediaserver.persistence import open_database
from mediaserver.signals import Signals
from mediaserver.supervision import supervised
from mediaserver.web_front import WebFront
from mediaserver.webrtc_plane import WebRtcPlane
from storage.bus import Bus
from storage.database import Database
from storage.notifications import Notifications
from storage.passwords import Passwords
from storage.redis_bus import BusRelay
from storage.redis_state import RedisState
from storage.shared_state import LocalState
from storage.stream_keys import StreamKeyDigester

logger = structlog.get_logger("mediaserver")


async def serve(settings: Settings, read_settings: Callable[[], Settings], is_demo: bool = False) -> None:
    """Run until SIGTERM or SIGINT. ``read_settings`` reads the settings anew on SIGHUP.

    Raises StartError or StorageError when something the server needs is missing.
    """
    configure_logging(settings.log.format, settings.log.level.value)
    _raise_file_limit()
    data = DataDirectory(settings.data_dir)
    with data.serving(), Signals() as signals:
        try:
            await _serve(settings, data, read_settings, signals, is_demo)
        except asyncio.CancelledError:
            if not signals.drain.is_set():
                raise
            logger.info("start_given_up")


async def _serve(
    settings: Settings,
    data: DataDirectory,
    read_settings: Callable[[], Settings],
    signals: Signals,
    is_demo: bool,
) -> None:
    secret = data.secret_key(settings)
    digester = StreamKeyDigester(secret)
    grants = PlaybackGrants(secret, settings.api.playback_token_seconds)
    passwords = Passwords(settings.passwords.threads, settings.passwords.waiting)
    bus = Bus()
    try:
        async with (
            open_database(settings, data) as database,
            Authorizer(database, digester, bus, settings.authorization, grants) as authorizer,
        ):
            await check_test_coins(settings, database)
            first_start = await prepare_first_start(database, digester, passwords)
            accounts = Accounts(database, digester, passwords)
            demo_key = await _demo_key(database, accounts, authorizer) if is_demo else None
            shared = Shared(settings, data, database, bus, passwords, grants, authorizer)
            await Server(shared, read_settings).run(signals, first_start, demo_key)
    finally:
        passwords.close()


@dataclass(frozen=True, slots=True)
class Shared:
    """What is there before the server is built, and outlives it."""

    settings: Settings
    data: DataDirectory
    database: Database
    bus: Bus
    passwords: Passwords
    grants: PlaybackGrants
    authorizer: Authorizer


class Server:
    """The media plane, the control plane, the web front and the tasks beside them."""

    def __init__(self, shared: Shared, read_settings: Callable[[], Settings]) -> None:
        self._settings = settings = shared.settings
        self._read_settings = read_settings
        self._authorizer = authorizer = shared.authorizer
        database, bus = shared.database, shared.bus
        self._lag = LoopLag()
        self._media = MediaPlane(settings, authorizer, bus)
        self._webrtc = WebRtcPlane(settings, self._media, bus)
        self._webrtc.ingest.around_opus = self._media.moving
        self._notifications = Notifications(database, bus)
        self._relay = BusRelay(settings.redis_url.get_secret_value(), bus) if settings.redis_url else None
        client_address = ClientAddress(settings.http.trusted_proxies)
        state = RedisState(settings.redis_url.get_secret_value()) if settings.redis_url else LocalState()
        watching = self._media.live.sessions
        self._chat = ChatPlane(
            ChatGround(
                settings, shared.data.node_id(), database, bus, state, self._media.hub, watching, authorizer
            )
        )
        self._live_state = LiveState(database, shared.data.node_id(), self._count)
        self._media.hub.add_listener(self._live_state)
        self._control = ControlPlane(
            Ground(
                settings,
                shared.data,
                database,
                bus,
                shared.passwords,
                self._media.hub,
                shared.grants,
                client_address,
                self._addresses,
                state,
                self._chat.audience.count,
                ApiModeration(self._chat.moderation, database),
                HubPeople(self._chat.hub),
                self._webrtc.ingest.refusal,
            )
        )
        self._web = WebFront(
            settings,
            self._media,
            self._webrtc,
            authorizer,
            self._control,
            self._chat,
            client_address,
            database,
            state,
            self._lag,
            self._relay,
        )

    async def run(self, signals: Signals, first_start: FirstStart | None, demo_key: str | None) -> None:
        """Start, serve until told to stop, drain, stop."""
        try:
            await self._start()
            _settle_memory()
            signals.started(self._reload)
            addresses = self._addresses()
            print(welcome(addresses, first_start, is_demo=demo_key is not None), flush=True)
            await self._serve(signals, addresses.publish(demo_key) if demo_key else None)
        finally:
            await self._stop()

    def _count(self, room_id: str) -> int:
        """How many are with a room."""
        return self._chat.audience.count(UUID(room_id))

    def _addresses(self) -> Addresses:
        """As far as known: free ports are when the server listens."""
        return Addresses.of(self._settings, self._web.port, self._media.rtmp_port)

    async def _start(self) -> None:
        await self._control.__aenter__()
        await self._chat.__aenter__()
        await self._media.start(self._settings)
        await self._webrtc.start(self._settings.rtc)
        await self._web.start(self._settings)
        logger.info(
            "started",
            http_port=self._web.port,
            rtmp_port=self._media.rtmp_port,
            rtc_port=self._webrtc.port,
        )

    async def _serve(self, signals: Signals, demo_url: str | None) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(supervised(name, run)) for name, run in self._tasks().items()]
            demo = tasks.create_task(_publish_demo(demo_url)) if demo_url else None
            await signals.drain.wait()
            logger.info("draining", seconds=self._settings.drain.timeout_seconds)
            if demo is not None:
                demo.cancel()
            await self._drain(signals)
            for task in running:
                task.cancel()

    def _tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "notifications": self._notifications.run,
            "live_state": self._live_state.run,
            "loop_lag": self._lag.run,
            "web": self._web.run,
            **({"bus": self._relay.run} if self._relay else {}),
            **self._control.tasks(),
            **self._chat.tasks(),
            **self._webrtc.tasks(),
        }

    async def _drain(self, signals: Signals) -> None:
        """Let publishers and viewers go; a second signal cuts it short."""
        drained = asyncio.create_task(self._drain_all())
        stop_now = asyncio.create_task(signals.stop_now.wait())
        await asyncio.wait({drained, stop_now}, return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, stop_now):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _drain_all(self) -> None:
        await self._web.drain()
        self._chat.drain()
        self._drain_webrtc()
        await self._media.drain(self._settings.drain.timeout_seconds)

    def _drain_webrtc(self) -> None:
        """Peers learn it by DTLS at once; nothing over WebRTC could tell them to leave when it suits them."""
        for door in (self._webrtc.whip, self._webrtc.whep):
            if door is not None:
                door.drain()
        if self._webrtc.signalling is not None:
            self._webrtc.signalling.close()

    async def _stop(self) -> None:
        async with AsyncExitStack() as closing:
            for close in (
                self._close_control,
                self._live_state.close,
                self._web.close,
                self._media.close,
                self._webrtc.close,
            ):
                closing.push_async_callback(close)
        logger.info("stopped")

    async def _close_control(self) -> None:
        try:
            if self._relay is not None:
                await self._relay.close()
        finally:
            try:
                await self._chat.__aexit__()
            finally:
                await self._control.__aexit__()

    def _reload(self) -> None:
        try:
            changes = reload_settings(self._settings, self._read_settings())
        except SettingsError as error:
            logger.error("reload_refused", reason=str(error))
            return
        self._settings = changes.settings
        set_log_level(changes.settings.log.level.value)
        self._authorizer.apply(changes.settings.authorization)
        self._media.apply(changes.settings)
        self._web.apply(changes.settings)
        logger.info("reloaded", applied=changes.applied, needs_restart=changes.needs_restart)


async def _demo_key(database: Database, accounts: Accounts, authorizer: Authorizer) -> str:
    room = await demo_room(database, accounts)
    return authorizer.issue_temporary_key(str(room.id))


async def _publish_demo(url: str) -> None:
    from mediaserver.demo import publish_test_pattern  # PyAV is large and only the demo needs it here

    await publish_test_pattern(url)


def _settle_memory() -> None:
    """What is there now stays; to look through it for garbage again and again stops the loop for 80 ms."""
    gc.collect()
    gc.freeze()


def _raise_file_limit() -> None:
    """Every viewer is an open file; take as many as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
