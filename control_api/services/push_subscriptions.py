"""Subscribing browsers to Web Push."""

from http import HTTPStatus
from typing import Final, Protocol
from uuid import UUID

from control_api.errors import ApiError, not_found
from control_api.services.social import hold_own
from storage.database import Database
from storage.repositories.push_subscriptions import PushSubscriptions

MOST_SUBSCRIPTIONS: Final = 20
"""Per user; the oldest make room for a new one."""


class PushKeeper(Protocol):
    """See control_api.services.web_push.WebPush."""

    @property
    def public_key(self) -> str: ...

    def check_subscription(self, endpoint: str, p256dh: str, auth: str) -> None:
        """Raises ApiError 400."""


class PushSubscriptionService:
    """``push`` is None on a server without Web Push."""

    def __init__(self, database: Database, push: PushKeeper | None) -> None:
        self._database = database
        self._push = push

    def public_key(self) -> str:
        return self._configured().public_key

    async def subscribe(self, user_id: UUID, endpoint: str, p256dh: str, auth: str) -> UUID:
        """Add or renew it; its id."""
        self._configured().check_subscription(endpoint, p256dh, auth)
        async with self._database.transaction() as transaction:
            await hold_own(transaction, user_id)
            subscriptions = PushSubscriptions(transaction)
            subscription_id = await subscriptions.put(user_id, endpoint, p256dh, auth)
            await subscriptions.keep_newest(user_id, MOST_SUBSCRIPTIONS)
        return subscription_id

    async def unsubscribe(self, user_id: UUID, endpoint: str) -> None:
        if not endpoint.isprintable() or not await PushSubscriptions(self._database).delete_endpoint(
            user_id, endpoint
        ):
            raise not_found("push subscription")

    def _configured(self) -> PushKeeper:
        if self._push is None:
            message = "This server sends no push messages."
            raise ApiError(HTTPStatus.NOT_FOUND, "push_not_configured", message)
        return self._push
