"""Everything behind `/api/v1`: the services, what they share, and the tasks that work for them.

Built bottom up: what all share, identity, then one noun after the other. The API learns of the media plane
only through the ports of control_api.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

from control_api.app import ControlApi
from control_api.dispatch import Dispatcher, DispatchOptions
from control_api.idempotency import Idempotency
from control_api.identity.authenticator import Authenticator
from control_api.identity.web_session import ForgeryCheck, TableStorage
from control_api.images import Images
from control_api.mail import Mailer, mailer_of
from control_api.outbound import Outbound, OutboundOptions
from control_api.payments.demo_checkout import DemoTill, Till
from control_api.playback_grants import PlaybackGrants, PublishGrants
from control_api.ports import ChatModeration, ChatPresence
from control_api.rate_limits import Budget, RateLimitOptions, RateLimits
from control_api.room_schemas import RoomViews
from control_api.routes.admin_users import AdminUserRoutes
from control_api.routes.analytics import AnalyticsRoutes
from control_api.routes.avatars import AvatarRoutes
from control_api.routes.categories import CategoriesRoutes
from control_api.routes.chat import ChatRoutes
from control_api.routes.chat_moderation import ChatModerationRoutes
from control_api.routes.creators import CreatorRoutes
from control_api.routes.ingest import IngestRoutes
from control_api.routes.notifications import NotificationsRoutes
from control_api.routes.playback import PlaybackRoutes
from control_api.routes.publish_tokens import PublishTokenRoutes
from control_api.routes.push_subscriptions import PushSubscriptionsRoutes
from control_api.routes.reports import ReportRoutes
from control_api.routes.room_feeds import RoomFeedsRoutes
from control_api.routes.rooms import RoomsRoutes
from control_api.routes.search import SearchRoutes
from control_api.routes.social import SocialRoutes
from control_api.routes.streams import StreamsRoutes
from control_api.routes.thumbnails import ThumbnailsRoutes
from control_api.routes.users import UserRoutes
from control_api.routes.webhooks import WebhooksRoutes
from control_api.routing import BodyLimits, Noun
from control_api.services.account_export import AccountExport
from control_api.services.account_view import AccountViews
from control_api.services.admin_users import AdminUserService
from control_api.services.analytics import AnalyticsService
from control_api.services.analytics_recording import AnalyticsRecorder
from control_api.services.categories import CategoriesService
from control_api.services.chat import ChatModerationService, ChatService
from control_api.services.chat_tickets import ChatTickets
from control_api.services.creators import CreatorService
from control_api.services.ingest_health import IngestService
from control_api.services.notification_delivery import (
    DeliveryOptions,
    FanOutToFollowers,
    NotificationDelivery,
)
from control_api.services.notification_kinds import Kind
from control_api.services.notifications import Notifications
from control_api.services.playback import PlaybackAccess, PlaybackBases, PlaybackService
from control_api.services.publish_tokens import PublishTokens
from control_api.services.push_subscriptions import PushSubscriptionService
from control_api.services.reports import ReportService
from control_api.services.room_feeds import RoomFeeds
from control_api.services.rooms import RoomsService
from control_api.services.search import SearchService
from control_api.services.social import SocialService
from control_api.services.streams import StreamsService
from control_api.services.subscription_news import SubscriptionTeller
from control_api.services.thumbnails import ThumbnailsService
from control_api.services.users import UserService
from control_api.services.web_push import WebPush
from control_api.services.webhook_sender import SenderOptions, WebhookSender
from control_api.services.webhooks import Webhooks
from mediaserver.addresses import Addresses
from mediaserver.api_ports import BroadcastAnnouncer, HubLiveRooms, HubStreamControl, ServerAddresses
from mediaserver.chat_ports import ChatSignIn
from mediaserver.config import Settings
from mediaserver.config.settings import ApiSettings
from mediaserver.data_directory import DataDirectory
from mediaserver.delivery.client_address import ClientAddress
from mediaserver.delivery.http_app import REQUEST_ID
from mediaserver.hub.hub import Hub
from mediaserver.identity import Identity
from mediaserver.ingest_health import HubIngestMonitor
from mediaserver.money_plane import MoneyGround, MoneyPlane
from mediaserver.persistence import objects_of
from mediaserver.version import VERSION
from storage.bus import Bus
from storage.database import Database
from storage.objects import ObjectsUnavailable
from storage.passwords import Passwords
from storage.redis_state import RedisState
from storage.repositories.webhooks import WebhookEndpoint
from storage.shared_state import SharedState
from storage.stream_keys import StreamKeyDigester

WINDOW_SECONDS: Final = 15 * 60
HOUR_SECONDS: Final = 60 * 60

Run = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ground:
    """What the server has anyway, and the API stands on."""

    settings: Settings
    data: DataDirectory
    database: Database
    bus: Bus
    passwords: Passwords
    hub: Hub
    grants: PlaybackGrants
    client_address: ClientAddress
    addresses: Callable[[], Addresses]
    state: SharedState
    audience: Callable[[UUID], int]
    moderation: ChatModeration
    chatters: ChatPresence
    not_carried: Callable[[str], str | None]

    @property
    def secret(self) -> bytes:
        return self.data.secret_key(self.settings)

    @property
    def public_url(self) -> str:
        """By the settings alone: what is built from it is built before the server listens."""
        return Addresses.of(self.settings).base_url

    @property
    def is_secure(self) -> bool:
        return self.public_url.startswith("https://")


class ControlPlane:
    """An async context manager, to be entered before ``tasks`` run. ``api`` goes into the web front."""

    def __init__(self, ground: Ground) -> None:
        settings = ground.settings
        self._ground = ground
        self._state = ground.state
        self._open: AsyncExitStack = AsyncExitStack()
        self.objects: Final = objects_of(settings, ground.data)
        self._mailer = _mailer(settings, ground.data)
        self._outbound = Outbound(OutboundOptions(settings.api.webhooks_to_private_networks))
        self._push = WebPush(ground.data.vapid_key(), ground.public_url, self._outbound)
        self._tasks: dict[str, Run] = {"mail": self._mailer.run}
        self._live = HubLiveRooms(ground.hub, audience=ground.audience)
        self._notifications = Notifications(ground.database, ground.bus)
        self._money = MoneyPlane(
            MoneyGround(
                settings,
                ground.database,
                ground.bus,
                ground.secret,
                ground.public_url,
                lambda: ground.addresses().base_url,
                self._live,
                self._mailer,
                self._notifications,
            )
        )
        self._identity = Identity(
            ground.database,
            ground.bus,
            ground.passwords,
            ground.secret,
            ground.state,
            self._mailer,
            settings,
            self._money.wallets,
        )
        self._monitor = HubIngestMonitor(ground.hub, self._live, ground.not_carried)
        self._recorder = AnalyticsRecorder(ground.database, self._live, ground.data.node_id())
        self._images = Images()
        self._exports = AccountExport(ground.database, self.objects)
        self._announcer = BroadcastAnnouncer(ground.hub, ground.bus)
        self._tasks |= {
            "sessions": self._identity.sessions.run,
            "ingest_health": self._monitor.run,
            "analytics": self._recorder.run,
            "subscription_news": SubscriptionTeller(ground.database, ground.bus, self._notifications).run,
            **self._money.tasks(),
        }
        self.api: Final = self._make_api()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._outbound)
        self._open.callback(self._push.close)
        self._open.callback(self._exports.close)
        self._open.push_async_callback(self._identity.close)
        await self._open.enter_async_context(self._money)
        if isinstance(self._state, RedisState):
            self._open.push_async_callback(self._state.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @property
    def test_till(self) -> DemoTill | None:
        """TEST: for the page of the test checkout, where there is one."""
        return self._money.test_till

    @property
    def test_subscription_till(self) -> Till | None:
        """TEST: for the page where a subscription is paid."""
        return self._money.test_subscription_till

    def tasks(self) -> dict[str, Run]:
        """What runs as long as the server, by name."""
        return self._tasks

    async def check_redis(self) -> str | None:
        """What is wrong with Redis, where there is one."""
        if isinstance(self._state, RedisState):
            try:
                await self._state.ping()
            except ConnectionError as error:
                return str(error)
        return None

    async def check_objects(self) -> str | None:
        """What is wrong with the store of objects."""
        try:
            await self.objects.ping()
        except ObjectsUnavailable as error:
            return str(error)
        return None

    def _make_api(self) -> ControlApi:
        ground, identity = self._ground, self._identity
        api = ground.settings.api
        forgery_check = ForgeryCheck(api.cors_origins)
        authenticator = Authenticator(
            identity.access_tokens, identity.states, identity.api_keys, forgery_check
        )
        storage = TableStorage(ground.database, ground.is_secure)
        self.chat_sign_in = ChatSignIn(
            ground.database,
            ChatTickets(ground.state),
            authenticator,
            identity.states,
            forgery_check,
            storage,
            ground.client_address,
        )
        options = DispatchOptions(
            ground.client_address.of,
            lambda request: request.get(REQUEST_ID, ""),
            ground.is_secure,
            BodyLimits(api.max_body_bytes, api.max_upload_bytes),
        )
        limits = RateLimits(ground.state, _rate_limits(api))
        idempotency = Idempotency(ground.database)
        self._tasks["idempotency_keys"] = idempotency.run
        dispatcher = Dispatcher(authenticator, limits, idempotency, options)
        nouns = [
            *identity.nouns(forgery_check),
            *self._people(),
            *self._rooms(),
            *self._chat(),
            *self._money.nouns,
            *self._news(),
        ]
        return ControlApi(nouns, dispatcher, VERSION, "/", api.cors_origins, storage)

    def _people(self) -> Sequence[Noun]:
        ground = self._ground
        database, bus = ground.database, ground.bus
        throttle = self._identity.throttle
        users = UserService(database, bus, self.objects, self._images, ground.passwords, throttle)
        return [
            UserRoutes(users, self._exports, AccountViews(self._money.wallets)),
            AvatarRoutes(users),
            SocialRoutes(SocialService(database, bus)),
            ReportRoutes(ReportService(database, self._notifications)),
            CreatorRoutes(CreatorService(database, bus, self._notifications)),
            AdminUserRoutes(AdminUserService(database, bus)),
        ]

    def _rooms(self) -> Sequence[Noun]:
        ground = self._ground
        database, views = ground.database, RoomViews(self._live)
        digester = StreamKeyDigester(ground.secret)
        rooms = RoomsService(database, digester, ground.settings.api.rooms_per_user, self.objects)
        streams = StreamsService(database, rooms, self._live, HubStreamControl(ground.hub))
        addresses = ServerAddresses(ground.addresses)
        ingest = IngestService(rooms, self._monitor, addresses)
        publish_grants = PublishGrants(ground.secret, ground.settings.api.playback_token_seconds)
        self.publish_tokens = PublishTokens(database, rooms, publish_grants, addresses)
        playback = PlaybackService(PlaybackAccess(database), ground.grants, self._live, self._bases)
        return [
            RoomFeedsRoutes(RoomFeeds(database), views),
            RoomsRoutes(rooms, views),
            StreamsRoutes(streams, views, self._monitor),
            IngestRoutes(ingest),
            PublishTokenRoutes(self.publish_tokens),
            CategoriesRoutes(CategoriesService(database)),
            PlaybackRoutes(playback),
            ThumbnailsRoutes(ThumbnailsService(database, rooms, self.objects, self._images), views),
            AnalyticsRoutes(AnalyticsService(database, rooms), self._recorder),
        ]

    def _chat(self) -> Sequence[Noun]:
        ground = self._ground
        database, moderation = ground.database, ground.moderation
        access = PlaybackAccess(database)
        chat = ChatService(database, access, moderation, ground.chatters)
        return [
            ChatRoutes(chat, ChatTickets(ground.state)),
            ChatModerationRoutes(ChatModerationService(database, access, moderation), moderation),
        ]

    def _news(self) -> Sequence[Noun]:
        """What tells people and programs of what happens, and the tasks that do it."""
        ground = self._ground
        database, bus = ground.database, ground.bus
        options = DeliveryOptions(ground.public_url)
        sender = WebhookSender(database, self._outbound, SenderOptions(on_disabled=self._tell_of_webhook))
        sender.subscribe(bus)
        self._tasks |= {
            "notifications_of_users": self._notifications.run,
            "news_to_followers": FanOutToFollowers(database, bus, options).run,
            "notification_delivery": NotificationDelivery(
                database, bus, self._mailer, self._push, options
            ).run,
            "webhooks": sender.run,
        }
        return [
            SearchRoutes(SearchService(database), RoomViews(self._live)),
            NotificationsRoutes(self._notifications),
            PushSubscriptionsRoutes(PushSubscriptionService(database, self._push)),
            WebhooksRoutes(Webhooks(database, self._outbound)),
        ]

    async def _tell_of_webhook(self, endpoint: WebhookEndpoint) -> None:
        data = {"endpointId": str(endpoint.id), "url": endpoint.settings.url}
        await self._notifications.notify(endpoint.owner_id, Kind.WEBHOOK_DISABLED, data)

    def _bases(self) -> PlaybackBases:
        addresses = self._ground.addresses()
        return PlaybackBases(addresses.base_url, addresses.rtmp_url)


def _mailer(settings: Settings, data: DataDirectory) -> Mailer:
    url = settings.smtp.url.get_secret_value() if settings.smtp.url else None
    return mailer_of(url, data.path / "mail", settings.smtp.sender)


def _rate_limits(api: ApiSettings) -> RateLimitOptions:
    return RateLimitOptions(
        Budget(api.requests_per_window, WINDOW_SECONDS),
        Budget(api.authentications_per_window, WINDOW_SECONDS),
        Budget(api.uploads_per_hour, HOUR_SECONDS),
    )
