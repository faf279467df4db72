"""What happened to subscriptions and is not told yet. Several nodes may work on it at once."""

from dataclasses import dataclass
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor
from storage.ids import new_id


class SubscriptionNewsKind(Enum):
    STARTED = "started"
    PAYMENT_FAILED = "payment_failed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class SubscriptionNews:
    """``months`` that the user paid to the creator in all, with this one; only where it has STARTED."""

    id: UUID
    kind: SubscriptionNewsKind
    subscription_id: UUID
    months: int
    user_id: UUID
    username: str
    display_name: str
    creator_id: UUID
    creator_name: str
    creator_display_name: str
    plan: str


_TAKE: Final = """
    WITH taken AS (
        DELETE FROM subscription_outbox
        WHERE id = ANY (ARRAY(SELECT id FROM subscription_outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))
        RETURNING id, kind, subscription_id, months)
    SELECT taken.id, taken.kind, subscription_id, months, user_id, users.username, users.display_name,
           subscriptions.creator_id, creators.username, creators.display_name, plans.name
    FROM taken JOIN subscriptions ON subscriptions.id = subscription_id
    JOIN users ON users.id = user_id
    JOIN users AS creators ON creators.id = subscriptions.creator_id
    JOIN plan_prices ON plan_prices.id = price_id
    JOIN plans ON plans.id = plan_id
    ORDER BY taken.id"""


class SubscriptionOutbox:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, kind: SubscriptionNewsKind, subscription_id: UUID, months: int = 0) -> None:
        await self._database.execute(
            "INSERT INTO subscription_outbox (id, kind, subscription_id, months) VALUES ($1, $2, $3, $4)",
            new_id(),
            kind.value,
            subscription_id,
            months,
        )

    async def take(self, limit: int) -> list[SubscriptionNews]:
        """Those that wait longest. Nobody else gets them, unless the transaction is rolled back."""
        rows = await self._database.fetch(_TAKE, limit)
        return [SubscriptionNews(row[0], SubscriptionNewsKind(row[1]), *row[2:]) for row in rows]
