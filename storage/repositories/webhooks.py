"""Outbound webhooks: endpoints that want to hear of something, and what is yet to be spread over them.

Who changes both locks the endpoint first and its deliveries after it, so that nobody waits in a circle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id


class DisabledReason(Enum):
    """Why an endpoint was disabled by the server."""

    GONE = "gone"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    url: str
    events: Sequence[str]
    description: str
    is_enabled: bool


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """``failing_since`` is when deliveries began to fail without one success since."""

    id: UUID
    owner_id: UUID
    is_server_wide: bool
    settings: EndpointSettings
    disabled_reason: DisabledReason | None
    failing_since: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """``data`` is JSON."""

    id: int
    kind: str
    owner_id: UUID
    data: str
    happened_at: datetime


_ENDPOINT: Final = """id, owner_id, is_server_wide, url, events, description, is_enabled, disabled_reason,
                      failing_since, version, created_at, updated_at"""


class WebhookEndpoints:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(
        self, owner_id: UUID, is_server_wide: bool, settings: EndpointSettings, secret: bytes
    ) -> WebhookEndpoint:
        """Raises InvalidValue."""
        row = await self._database.fetch_row(
            f"""INSERT INTO webhook_endpoints
                    (id, owner_id, is_server_wide, url, events, description, is_enabled, secret)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {_ENDPOINT}""",
            new_id(),
            owner_id,
            is_server_wide,
            settings.url,
            list(settings.events),
            settings.description,
            settings.is_enabled,
            secret,
        )
        return _endpoint(row)

    async def count_locked(self, owner_id: UUID) -> int:
        """How many the owner has; nobody adds one of the same owner until the transaction ends."""
        await self._database.fetch_row("SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE", owner_id)
        count: int = await self._database.fetch_value(
            "SELECT count(*) FROM webhook_endpoints WHERE owner_id = $1", owner_id
        )
        return count

    async def find(self, endpoint_id: UUID) -> WebhookEndpoint | None:
        row = await self._database.fetch_row(
            f"SELECT {_ENDPOINT} FROM webhook_endpoints WHERE id = $1", endpoint_id
        )
        return _endpoint(row) if row else None

    async def find_locked(self, endpoint_id: UUID) -> WebhookEndpoint | None:
        """As ``find``; it does not change until the transaction ends."""
        row = await self._database.fetch_row(
            f"SELECT {_ENDPOINT} FROM webhook_endpoints WHERE id = $1 FOR NO KEY UPDATE", endpoint_id
        )
        return _endpoint(row) if row else None

    async def list_of(
        self, owner_id: UUID, with_server_wide: bool, before: UUID | None, limit: int
    ) -> list[WebhookEndpoint]:
        """The owner's, and every server-wide one if asked for; the newest first."""
        rows = await self._database.fetch(
            f"""SELECT {_ENDPOINT} FROM webhook_endpoints
                WHERE (owner_id = $1 OR ($2 AND is_server_wide)) AND ($3::uuid IS NULL OR id < $3)
                ORDER BY id DESC LIMIT $4""",
            owner_id,
            with_server_wide,
            before,
            limit,
        )
        return [_endpoint(row) for row in rows]

    async def update(self, endpoint_id: UUID, settings: EndpointSettings) -> WebhookEndpoint | None:
        """By its owner. Enabling it starts with a clean slate, disabling it gives up what is on its way."""
        row = await self._database.fetch_row(
            f"""UPDATE webhook_endpoints SET url = $2, events = $3, description = $4, is_enabled = $5,
                    disabled_reason = CASE WHEN $5 THEN NULL ELSE disabled_reason END,
                    failing_since = CASE WHEN $5 AND NOT is_enabled THEN NULL ELSE failing_since END,
                    version = version + 1, updated_at = now()
                WHERE id = $1 RETURNING {_ENDPOINT}""",
            endpoint_id,
            settings.url,
            list(settings.events),
            settings.description,
            settings.is_enabled,
        )
        if row and not settings.is_enabled:
            await self._give_up(endpoint_id)
        return _endpoint(row) if row else None

    async def rotate_secret(self, endpoint_id: UUID, secret: bytes, previous_until: datetime) -> None:
        await self._database.execute(
            """UPDATE webhook_endpoints SET previous_secret = secret, previous_secret_until = $3, secret = $2,
                   version = version + 1, updated_at = now()
               WHERE id = $1""",
            endpoint_id,
            secret,
            previous_until,
        )

    async def delete(self, endpoint_id: UUID) -> None:
        """Its deliveries go with it."""
        await self._database.execute("DELETE FROM webhook_endpoints WHERE id = $1", endpoint_id)

    async def note_success(self, endpoint_id: UUID) -> None:
        await self._database.execute(
            """UPDATE webhook_endpoints SET failing_since = NULL
               WHERE id = $1 AND failing_since IS NOT NULL""",
            endpoint_id,
        )

    async def note_failure(self, endpoint_id: UUID, at: datetime) -> datetime:
        """Since when it has been failing."""
        since: datetime | None = await self._database.fetch_value(
            """UPDATE webhook_endpoints SET failing_since = coalesce(failing_since, $2)
               WHERE id = $1 RETURNING failing_since""",
            endpoint_id,
            at,
        )
        return since if since is not None else at

    async def disable(self, endpoint_id: UUID, reason: DisabledReason) -> WebhookEndpoint | None:
        """By the server. None if it is disabled already, or gone."""
        row = await self._database.fetch_row(
            f"""UPDATE webhook_endpoints SET is_enabled = false, disabled_reason = $2,
                    version = version + 1, updated_at = now()
                WHERE id = $1 AND is_enabled RETURNING {_ENDPOINT}""",
            endpoint_id,
            reason.value,
        )
        if row:
            await self._give_up(endpoint_id)
        return _endpoint(row) if row else None

    async def _give_up(self, endpoint_id: UUID) -> None:
        await self._database.execute(
            """UPDATE webhook_deliveries
               SET state = 'failed', next_attempt_at = NULL, last_error = 'The endpoint was disabled.'
               WHERE endpoint_id = $1 AND state = 'pending'""",
            endpoint_id,
        )


class WebhookOutbox:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, kind: str, owner_id: UUID, data: str) -> None:
        """Nothing is added when no endpoint wants to hear of it. Raises InvalidValue."""
        await self._database.execute(
            """INSERT INTO webhook_outbox (kind, owner_id, data)
               SELECT $1, $2, $3::text::json WHERE webhook_is_wanted($1, $2)""",
            kind,
            owner_id,
            data,
        )

    async def claim(self, limit: int) -> list[OutboxEntry]:
        """The oldest entries that no other node works on until the transaction ends."""
        rows = await self._database.fetch(
            """SELECT id, kind, owner_id, data::text, happened_at FROM webhook_outbox
               ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED""",
            limit,
        )
        return [OutboxEntry(*row) for row in rows]

    async def endpoints_for(self, entries: Sequence[OutboxEntry]) -> list[tuple[int, UUID]]:
        """(entry, endpoint) for each endpoint that wants an entry; it stays until the transaction ends.

        An owner must be active, and still an administrator for a server-wide endpoint.
        """
        rows = await self._database.fetch(
            """SELECT told.id, endpoint.id
               FROM unnest($1::bigint[], $2::text[], $3::uuid[]) AS told (id, kind, owner_id)
               JOIN webhook_endpoints AS endpoint
                 ON endpoint.owner_id = told.owner_id OR endpoint.is_server_wide
               JOIN users ON users.id = endpoint.owner_id
               WHERE endpoint.is_enabled AND told.kind = ANY (endpoint.events) AND users.state = 'active'
                 AND (NOT endpoint.is_server_wide OR users.role IN ('admin', 'superadmin'))
               ORDER BY told.id FOR KEY SHARE OF endpoint""",
            [entry.id for entry in entries],
            [entry.kind for entry in entries],
            [entry.owner_id for entry in entries],
        )
        return [(row[0], row[1]) for row in rows]

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        await self._database.execute(
            "DELETE FROM webhook_outbox WHERE id = ANY($1)", [entry.id for entry in entries]
        )


def _endpoint(row: Row) -> WebhookEndpoint:
    settings = EndpointSettings(row["url"], tuple(row["events"]), row["description"], row["is_enabled"])
    reason = row["disabled_reason"]
    return WebhookEndpoint(
        row["id"],
        row["owner_id"],
        row["is_server_wide"],
        settings,
        DisabledReason(reason) if reason else None,
        row["failing_since"],
        row["version"],
        row["created_at"],
        row["updated_at"],
    )
