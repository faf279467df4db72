"""Web Push subscriptions: one per browser that its user allowed to be woken."""

from dataclasses import dataclass
from uuid import UUID

from storage.database import Executor
from storage.ids import new_id


@dataclass(frozen=True, slots=True)
class PushSubscription:
    """``p256dh`` and ``auth`` are the browser's keys in URL-safe Base64."""

    id: UUID
    user_id: UUID
    endpoint: str
    p256dh: str
    auth: str


class PushSubscriptions:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def put(self, user_id: UUID, endpoint: str, p256dh: str, auth: str) -> UUID:
        """Add it, or renew it; an endpoint belongs to who used that browser last."""
        subscription_id: UUID = await self._database.fetch_value(
            """INSERT INTO push_subscriptions (id, user_id, endpoint, p256dh, auth)
               VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (endpoint) DO UPDATE
               SET user_id = $2, p256dh = $4, auth = $5, created_at = now() RETURNING id""",
            new_id(),
            user_id,
            endpoint,
            p256dh,
            auth,
        )
        return subscription_id

    async def keep_newest(self, user_id: UUID, count: int) -> None:
        """Forget all of the user's subscriptions but the ``count`` newest."""
        await self._database.execute(
            """DELETE FROM push_subscriptions WHERE id IN (
                   SELECT id FROM push_subscriptions WHERE user_id = $1
                   ORDER BY created_at DESC, id DESC OFFSET $2)""",
            user_id,
            count,
        )

    async def delete_endpoint(self, user_id: UUID, endpoint: str) -> bool:
        """Whether the user had it."""
        rows = await self._database.fetch(
            "DELETE FROM push_subscriptions WHERE endpoint = $2 AND user_id = $1 RETURNING 1",
            user_id,
            endpoint,
        )
        return bool(rows)

    async def delete(self, subscription_id: UUID) -> None:
        await self._database.execute("DELETE FROM push_subscriptions WHERE id = $1", subscription_id)
