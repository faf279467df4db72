"""What users were told, and how they want to be told."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from control_api.errors import invalid
from control_api.pagination import Page
from control_api.principal import Access
from control_api.routing import Call, Reply, Route
from control_api.schemas import Body, Data, PageQuery
from control_api.services.notification_kinds import Kind
from control_api.services.notifications import MOST_UNREAD, Notifications, Wishes
from storage.repositories.notifications_store import Channels, Notification

MOST_IDS = 100


class NotificationsQuery(PageQuery, kw_only=True):
    unread: bool = False


class NotificationView(Data):
    """``data`` depends on ``kind``; ``readAt`` is null until it is read."""

    id: UUID
    kind: str
    data: dict[str, Any]
    created_at: datetime
    read_at: datetime | None


class UnreadCount(Data):
    count: Annotated[int, Meta(ge=0, le=MOST_UNREAD, description="It counts no further than the maximum.")]


class MarkRead(Body):
    """Either ``ids`` or ``all``."""

    ids: Annotated[list[UUID], Meta(min_length=1, max_length=MOST_IDS)] | None = None
    all: bool = False


class MarkedRead(Data):
    """How many of them were unread before."""

    count: int


class Preference(Body):
    """On which ways a kind of notification goes out."""

    kind: Kind
    in_app: bool
    email: bool
    push: bool


class PreferenceView(Data):
    kind: Kind
    in_app: bool
    email: bool
    push: bool


class SetPreferences(Body):
    """Kinds that are not named stay as they are."""

    preferences: Annotated[list[Preference], Meta(max_length=len(Kind))]


class Preferences(Data):
    """Of every kind."""

    preferences: list[PreferenceView]


class NotificationsRoutes:
    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications

    def routes(self) -> Sequence[Route]:
        read: dict[str, Any] = {"access": Access.USER, "scope": "notifications:read"}
        write: dict[str, Any] = {"access": Access.USER, "scope": "notifications:write"}
        return [
            Route(
                "GET",
                "/notifications",
                self.list_all,
                "What you were told, the newest first",
                query=NotificationsQuery,
                response=list[NotificationView],
                **read,
            ),
            Route(
                "GET",
                "/notifications/unread-count",
                self.count_unread,
                "How much you have not read",
                response=UnreadCount,
                **read,
            ),
            Route(
                "POST",
                "/notifications/read",
                self.mark_read,
                "Mark some or all as read",
                body=MarkRead,
                response=MarkedRead,
                **write,
            ),
            Route(
                "GET",
                "/notifications/preferences",
                self.preferences,
                "How you are told of what",
                response=Preferences,
                gives_etag=True,
                **read,
            ),
            Route(
                "PUT",
                "/notifications/preferences",
                self.set_preferences,
                "Choose how you are told of what",
                body=SetPreferences,
                response=Preferences,
                takes_if_match=True,
                gives_etag=True,
                **write,
            ),
        ]

    async def list_all(self, call: Call[None, NotificationsQuery]) -> Page[NotificationView]:
        query = call.query
        page = await self._notifications.page(call.user_id, query.unread, query.cursor, query.limit)
        return page.map(notification_view)

    async def count_unread(self, call: Call[None, None]) -> UnreadCount:
        return UnreadCount(count=await self._notifications.count_unread(call.user_id))

    async def mark_read(self, call: Call[MarkRead, None]) -> MarkedRead:
        body = call.body
        if (body.ids is not None) == body.all:
            raise invalid("ids", "name either ids or all: true")
        return MarkedRead(count=await self._notifications.mark_read(call.user_id, body.ids))

    async def preferences(self, call: Call[None, None]) -> Reply:
        return _preferences(await self._notifications.preferences(call.user_id))

    async def set_preferences(self, call: Call[SetPreferences, None]) -> Reply:
        chosen = {
            preference.kind: Channels(preference.in_app, preference.email, preference.push)
            for preference in call.body.preferences
        }
        return _preferences(
            await self._notifications.set_preferences(call.user_id, chosen, version=call.if_match)
        )


def _preferences(wishes: Wishes) -> Reply:
    views = [
        PreferenceView(kind=kind, in_app=way.in_app, email=way.email, push=way.push)
        for kind, way in wishes.channels.items()
    ]
    return Reply(Preferences(preferences=views), version=wishes.version)


def notification_view(item: Notification) -> NotificationView:
    """How a notification is shown, here and where it is pushed to."""
    return NotificationView(
        id=item.id, kind=item.kind, data=item.data, created_at=item.created_at, read_at=item.read_at
    )
