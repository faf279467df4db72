"""Outbound webhooks, after Standard Webhooks (https://www.standardwebhooks.com): who hears of what.

Webhooks
    a user's endpoints and their deliveries; ``enqueue`` tells of something that happened

What happened is written down in the transaction in which it happened. control_api.services.webhook_sender
spreads it over the endpoints and sends it.
"""

import secrets
from base64 import b64encode
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Protocol, TypeAlias
from uuid import UUID

import msgspec
from yarl import URL

from control_api.errors import conflict, forbidden, invalid, not_found, version_mismatch
from control_api.outbound import AddressRefused
from control_api.pagination import Page, id_in, page_of
from control_api.principal import Access, Principal
from control_api.services.social import hold_own
from storage.database import Executor
from storage.repositories.audit import AuditLog
from storage.repositories.webhook_deliveries import WebhookDeliveries, WebhookDelivery
from storage.repositories.webhooks import (
    EndpointSettings,
    WebhookEndpoint,
    WebhookEndpoints,
    WebhookOutbox,
)

EventKind: TypeAlias = Literal[
    "follow", "room.ended", "room.started", "subscription.ended", "subscription.started"
]
"""What can be heard of. Whoever adds a kind adds it here."""

MAX_ENDPOINTS: Final = 10
SECRET_BYTES: Final = 32
SECRET_PREFIX: Final = "whsec_"
OVERLAP: Final = timedelta(days=1)
"""How long the secret before the newest one signs, too."""


class AddressChecker(Protocol):
    """The part of control_api.outbound.Outbound that is needed here."""

    def check_url(self, text: str) -> URL:
        """Raises AddressRefused."""


@dataclass(frozen=True, slots=True)
class IssuedEndpoint:
    """``secret`` is shown this once."""

    endpoint: WebhookEndpoint
    secret: str


class Webhooks:
    def __init__(self, database: Executor, addresses: AddressChecker) -> None:
        self._database = database
        self._addresses = addresses

    async def enqueue(
        self, kind: EventKind, owner_id: UUID, data: object, executor: Executor | None = None
    ) -> None:
        """Tell the endpoints of ``owner_id`` and the server-wide ones. ``data`` is what msgspec can encode.

        ``executor`` is the transaction in which it happens: both happen or neither does.
        """
        encoded = msgspec.json.encode(data).decode()
        await WebhookOutbox(executor or self._database).add(kind, owner_id, encoded)

    async def create(
        self,
        principal: Principal,
        owner_id: UUID,
        is_server_wide: bool,
        settings: EndpointSettings,
        address: str,
    ) -> IssuedEndpoint:
        if is_server_wide and not principal.has_role(Access.ADMIN):
            raise forbidden("forbidden", "Only administrators may have server-wide endpoints.")
        settings = self._checked(settings)
        secret = secrets.token_bytes(SECRET_BYTES)
        async with self._database.transaction() as transaction:
            await hold_own(transaction, owner_id)
            endpoints = WebhookEndpoints(transaction)
            if await endpoints.count_locked(owner_id) >= MAX_ENDPOINTS:
                raise conflict("too_many_webhook_endpoints", f"There can be {MAX_ENDPOINTS} at most.")
            endpoint = await endpoints.add(owner_id, is_server_wide, settings, secret)
            await _audit(transaction, principal, "created", endpoint, address)
        return IssuedEndpoint(endpoint, encode_secret(secret))

    async def list_of(
        self, principal: Principal, owner_id: UUID, limit: int, cursor: str | None
    ) -> Page[WebhookEndpoint]:
        """The user's own, the newest first; administrators see every server-wide one, too."""
        found = await WebhookEndpoints(self._database).list_of(
            owner_id, principal.has_role(Access.ADMIN), id_in(cursor), limit + 1
        )
        return page_of(found, limit, lambda endpoint: (endpoint.id,))

    async def find(self, principal: Principal, endpoint_id: UUID) -> WebhookEndpoint:
        return _visible(await WebhookEndpoints(self._database).find(endpoint_id), principal)

    async def update(
        self,
        principal: Principal,
        endpoint_id: UUID,
        changes: dict[str, Any],
        version: int | None,
        address: str,
    ) -> WebhookEndpoint:
        """``changes`` are fields of EndpointSettings; ``version`` is the one that the client knows."""
        async with self._database.transaction() as transaction:
            endpoints = WebhookEndpoints(transaction)
            known = _visible(await endpoints.find_locked(endpoint_id), principal)
            if version is not None and version != known.version:
                raise version_mismatch("webhook endpoint")
            changed = await endpoints.update(endpoint_id, self._checked(replace(known.settings, **changes)))
            endpoint = _visible(changed, principal)
            await _audit(transaction, principal, "changed", endpoint, address)
        return endpoint

    async def delete(self, principal: Principal, endpoint_id: UUID, address: str) -> None:
        async with self._database.transaction() as transaction:
            endpoints = WebhookEndpoints(transaction)
            endpoint = _visible(await endpoints.find_locked(endpoint_id), principal)
            await endpoints.delete(endpoint_id)
            await _audit(transaction, principal, "deleted", endpoint, address)

    async def rotate_secret(self, principal: Principal, endpoint_id: UUID, address: str) -> IssuedEndpoint:
        """A new secret; the one before it signs, too, for OVERLAP."""
        secret = secrets.token_bytes(SECRET_BYTES)
        async with self._database.transaction() as transaction:
            endpoints = WebhookEndpoints(transaction)
            _visible(await endpoints.find_locked(endpoint_id), principal)
            await endpoints.rotate_secret(endpoint_id, secret, datetime.now(UTC) + OVERLAP)
            endpoint = _visible(await endpoints.find(endpoint_id), principal)
            await _audit(transaction, principal, "secret_rotated", endpoint, address)
        return IssuedEndpoint(endpoint, encode_secret(secret))

    async def deliveries(
        self, principal: Principal, endpoint_id: UUID, limit: int, cursor: str | None
    ) -> Page[WebhookDelivery]:
        """The newest first."""
        before = id_in(cursor)
        await self.find(principal, endpoint_id)
        found = await WebhookDeliveries(self._database).list_of(endpoint_id, before, limit + 1)
        return page_of(found, limit, lambda delivery: (delivery.id,))

    async def retry(self, principal: Principal, endpoint_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        """Send it now, also if it was delivered before."""
        async with self._database.transaction() as transaction:
            endpoint = _visible(await WebhookEndpoints(transaction).find_locked(endpoint_id), principal)
            if not endpoint.settings.is_enabled:
                raise conflict("webhook_endpoint_disabled", "Enable the endpoint first.")
            delivery = await WebhookDeliveries(transaction).retry(endpoint_id, delivery_id, datetime.now(UTC))
        if delivery is None:
            raise not_found("webhook delivery")
        return delivery

    def _checked(self, settings: EndpointSettings) -> EndpointSettings:
        try:
            url = self._addresses.check_url(settings.url)
        except AddressRefused as error:
            raise invalid("url", str(error)) from error
        return replace(settings, url=str(url), events=sorted(set(settings.events)))


def encode_secret(secret: bytes) -> str:
    return SECRET_PREFIX + b64encode(secret).decode()


def _visible(endpoint: WebhookEndpoint | None, principal: Principal) -> WebhookEndpoint:
    """One's own, or a server-wide one for administrators; others do not learn that it is there."""
    if endpoint is not None and (
        endpoint.owner_id == principal.user_id
        or (endpoint.is_server_wide and principal.has_role(Access.ADMIN))
    ):
        return endpoint
    raise not_found("webhook endpoint")


async def _audit(
    executor: Executor, principal: Principal, verb: str, endpoint: WebhookEndpoint, address: str
) -> None:
    # Addresses of webhooks often have a secret in them; the host does not.
    details: dict[str, object] = {
        "host": URL(endpoint.settings.url).host,
        "serverWide": endpoint.is_server_wide,
    }
    await AuditLog(executor).add(
        principal.user_id, f"webhook_endpoint.{verb}", "webhook_endpoint", str(endpoint.id), address, details
    )
