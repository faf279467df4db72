"""Outbound webhooks: ``/webhook-endpoints``."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from control_api.outbound import MAX_URL_LENGTH
from control_api.pagination import Page
from control_api.principal import Access
from control_api.routing import Call, Handler, Reply, Route
from control_api.schemas import Body, Data, PageQuery
from control_api.services.webhooks import EventKind, IssuedEndpoint, Webhooks
from storage.repositories.webhook_deliveries import DeliveryState, WebhookDelivery
from storage.repositories.webhooks import DisabledReason, EndpointSettings, WebhookEndpoint

MAX_EVENTS = 50

Url = Annotated[
    str, Meta(min_length=1, max_length=MAX_URL_LENGTH, description="An https address on the public internet.")
]
Events = Annotated[list[EventKind], Meta(min_length=1, max_length=MAX_EVENTS)]
Description = Annotated[str, Meta(max_length=200, pattern=r"^(?![\s\S]*[\u0000-\u001f\u007f-\u009f])")]

READ = "webhooks:read"
WRITE = "webhooks:write"
UNKNOWN = (404, "webhook_endpoint_not_found")


class NewWebhook(Body):
    """Of a user's own rooms; a ``server_wide`` one hears of all rooms and is for administrators."""

    url: Url
    events: Events
    description: Description = ""
    enabled: bool = True
    server_wide: bool = False


class WebhookChanges(Body):
    """What is left out stays as it is."""

    url: Url | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class Webhook(Data):
    """``disabled_reason`` is why the server disabled it: the receiver said that it is gone, or kept failing.

    ``failing_since`` is when deliveries began to fail, without a success since.
    """

    id: UUID
    url: str
    events: list[str]
    description: str
    enabled: bool
    server_wide: bool
    disabled_reason: DisabledReason | None
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime


class WebhookWithSecret(Webhook):
    """``secret`` is shown this once; deliveries are signed with it."""

    secret: str


class WebhookMessage(Data):
    """``id`` is the ``webhook-id`` of the message. ``status`` is null where there was no answer."""

    id: UUID
    event: str
    state: DeliveryState
    attempts: int
    status: int | None
    error: str | None
    last_attempt_at: datetime | None
    next_attempt_at: datetime | None
    created_at: datetime


class WebhooksRoutes:
    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def routes(self) -> list[Route]:
        return [*self._collection_routes(), *self._endpoint_routes(), *self._delivery_routes()]

    def _collection_routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/webhook-endpoints",
                self.list,
                "List your webhook endpoints",
                Access.USER,
                query=PageQuery,
                response=list[Webhook],
                scope=READ,
            ),
            Route(
                "POST",
                "/webhook-endpoints",
                self.create,
                "Make a webhook endpoint; its secret is shown this once",
                Access.USER,
                body=NewWebhook,
                response=WebhookWithSecret,
                status=HTTPStatus.CREATED,
                errors=[(409, "too_many_webhook_endpoints")],
                scope=WRITE,
                gives_etag=True,
            ),
        ]

    def _endpoint_routes(self) -> list[Route]:
        def route(method: str, path: str, handler: Handler, summary: str, **more: Any) -> Route:
            errors = [UNKNOWN, *more.pop("errors", ())]
            path = f"/webhook-endpoints/{{id}}{path}"
            scope = READ if method == "GET" else WRITE
            return Route(method, path, handler, summary, Access.USER, errors=errors, scope=scope, **more)

        return [
            route("GET", "", self.read, "Read a webhook endpoint", response=Webhook, gives_etag=True),
            route(
                "PATCH",
                "",
                self.change,
                "Change a webhook endpoint",
                body=WebhookChanges,
                response=Webhook,
                takes_if_match=True,
                gives_etag=True,
            ),
            route("DELETE", "", self.delete, "Delete a webhook endpoint"),
            route(
                "POST",
                "/rotate-secret",
                self.rotate_secret,
                "Give a webhook endpoint a new secret; it is shown this once",
                response=WebhookWithSecret,
                gives_etag=True,
            ),
        ]

    def _delivery_routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/webhook-endpoints/{id}/deliveries",
                self.list_deliveries,
                "List a webhook endpoint's deliveries of the last 30 days, the newest first",
                Access.USER,
                query=PageQuery,
                response=list[WebhookMessage],
                errors=[UNKNOWN],
                scope=READ,
            ),
            Route(
                "POST",
                "/webhook-endpoints/{id}/deliveries/{deliveryId}/retry",
                self.retry_delivery,
                "Send a delivery again, now",
                Access.USER,
                response=WebhookMessage,
                status=HTTPStatus.ACCEPTED,
                errors=[UNKNOWN, (404, "webhook_delivery_not_found"), (409, "webhook_endpoint_disabled")],
                scope=WRITE,
            ),
        ]

    async def list(self, call: Call[None, PageQuery]) -> Page[Webhook]:
        page = await self._webhooks.list_of(call.principal, call.user_id, call.query.limit, call.query.cursor)
        return page.map(_endpoint)

    async def create(self, call: Call[NewWebhook, None]) -> Reply:
        body = call.body
        settings = EndpointSettings(body.url, body.events, body.description, body.enabled)
        issued = await self._webhooks.create(
            call.principal, call.user_id, body.server_wide, settings, call.address
        )
        return _issued(issued)

    async def read(self, call: Call[None, None]) -> Reply:
        endpoint = await self._webhooks.find(call.principal, _id(call))
        return Reply(_endpoint(endpoint), version=endpoint.version)

    async def change(self, call: Call[WebhookChanges, None]) -> Reply:
        body = call.body
        given = {
            "url": body.url,
            "events": body.events,
            "description": body.description,
            "is_enabled": body.enabled,
        }
        changes = {name: value for name, value in given.items() if value is not UNSET}
        endpoint = await self._webhooks.update(
            call.principal, _id(call), changes, call.if_match, call.address
        )
        return Reply(_endpoint(endpoint), version=endpoint.version)

    async def delete(self, call: Call[None, None]) -> None:
        await self._webhooks.delete(call.principal, _id(call), call.address)

    async def rotate_secret(self, call: Call[None, None]) -> Reply:
        return _issued(await self._webhooks.rotate_secret(call.principal, _id(call), call.address))

    async def list_deliveries(self, call: Call[None, PageQuery]) -> Page[WebhookMessage]:
        page = await self._webhooks.deliveries(call.principal, _id(call), call.query.limit, call.query.cursor)
        return page.map(_delivery)

    async def retry_delivery(self, call: Call[None, None]) -> WebhookMessage:
        delivery_id = call.path_id("deliveryId", "webhook delivery")
        return _delivery(await self._webhooks.retry(call.principal, _id(call), delivery_id))


def _id(call: Call[Any, Any]) -> UUID:
    return call.path_id("id", "webhook endpoint")


def _issued(issued: IssuedEndpoint) -> Reply:
    data = WebhookWithSecret(**_fields(issued.endpoint), secret=issued.secret)
    return Reply(data, version=issued.endpoint.version)


def _endpoint(endpoint: WebhookEndpoint) -> Webhook:
    return Webhook(**_fields(endpoint))


def _fields(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "url": endpoint.settings.url,
        "events": list(endpoint.settings.events),
        "description": endpoint.settings.description,
        "enabled": endpoint.settings.is_enabled,
        "server_wide": endpoint.is_server_wide,
        "disabled_reason": endpoint.disabled_reason,
        "failing_since": endpoint.failing_since,
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
    }


def _delivery(delivery: WebhookDelivery) -> WebhookMessage:
    return WebhookMessage(
        id=delivery.id,
        event=delivery.kind,
        state=delivery.state,
        attempts=delivery.attempts,
        status=delivery.last_status,
        error=delivery.last_error,
        last_attempt_at=delivery.last_attempt_at,
        next_attempt_at=delivery.next_attempt_at,
        created_at=delivery.created_at,
    )
