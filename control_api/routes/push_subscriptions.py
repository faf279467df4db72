"""The browsers that a user allowed to be woken by Web Push."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta

from control_api.principal import Access
from control_api.routing import Call, Route
from control_api.schemas import Body, Data, Query
from control_api.services.push_subscriptions import PushSubscriptionService

MAX_ENDPOINT_LENGTH: Final = 1024
NO_PUSH: Final = (HTTPStatus.NOT_FOUND, "push_not_configured")

Endpoint = Annotated[str, Meta(min_length=9, max_length=MAX_ENDPOINT_LENGTH, pattern="^https://")]


class PushKeysBody(Body):
    """URL-safe Base64, as PushSubscription.toJSON() gives it."""

    p256dh: Annotated[str, Meta(min_length=87, max_length=88, pattern="^[A-Za-z0-9_-]+=?$")]
    auth: Annotated[str, Meta(min_length=22, max_length=24, pattern="^[A-Za-z0-9_-]+={0,2}$")]


class Subscribe(Body):
    """What PushSubscription.toJSON() gives in the browser; the time of expiry is not used."""

    endpoint: Endpoint
    keys: PushKeysBody
    expiration_time: float | None = None


class Subscribed(Data):
    id: UUID


class Unsubscribe(Query):
    endpoint: Endpoint


class PushKey(Data):
    """The applicationServerKey to subscribe with."""

    key: str


class PushSubscriptionsRoutes:
    def __init__(self, subscriptions: PushSubscriptionService) -> None:
        self._subscriptions = subscriptions

    def routes(self) -> Sequence[Route]:
        return [
            Route(
                "GET",
                "/push-subscriptions/key",
                self.key,
                "The key to subscribe with",
                response=PushKey,
                errors=[NO_PUSH],
                scope="notifications:read",
            ),
            Route(
                "POST",
                "/push-subscriptions",
                self.subscribe,
                "Let this browser be woken",
                Access.USER,
                body=Subscribe,
                response=Subscribed,
                status=HTTPStatus.CREATED,
                errors=[NO_PUSH],
                scope="notifications:write",
            ),
            Route(
                "DELETE",
                "/push-subscriptions",
                self.unsubscribe,
                "Let this browser sleep",
                Access.USER,
                query=Unsubscribe,
                errors=[(HTTPStatus.NOT_FOUND, "push_subscription_not_found")],
                scope="notifications:write",
            ),
        ]

    async def key(self, _call: Call[None, None]) -> PushKey:
        return PushKey(key=self._subscriptions.public_key())

    async def subscribe(self, call: Call[Subscribe, None]) -> Subscribed:
        body = call.body
        subscription_id = await self._subscriptions.subscribe(
            call.user_id, body.endpoint, body.keys.p256dh, body.keys.auth
        )
        return Subscribed(id=subscription_id)

    async def unsubscribe(self, call: Call[None, Unsubscribe]) -> None:
        await self._subscriptions.unsubscribe(call.user_id, call.query.endpoint)
