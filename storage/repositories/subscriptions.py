"""Subscriptions of users to creators, as the payment provider's events have made them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id
from storage.repositories.plans import Interval

ONE_LIVE: Final = "subscriptions_one_live"
"""The constraint of a Conflict: the user has a subscription to this creator."""


OPENING: Final = timedelta(minutes=2)
"""After that, whoever was opening a page has it, or has given up."""


class SubscriptionState(Enum):
    """INCOMPLETE is not paid yet; CANCELED goes on to the end of what is paid; ENDED is for good."""

    INCOMPLETE = "incomplete"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    CANCELED = "canceled"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Checkout:
    """The page on which the provider takes the first payment."""

    ref: str
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What a provider's event makes of a subscription; ``rank`` orders events of the same second."""

    state: SubscriptionState
    gives_access: bool
    cancels_at_end: bool
    period_end: datetime | None
    price_id: UUID
    provider_ref: str | None
    event_at: datetime | None
    rank: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """``amount`` is what is paid each ``interval``, in minor units of ``currency``."""

    id: UUID
    user_id: UUID
    creator_id: UUID
    creator_name: str
    creator_display_name: str
    creator_avatar: str | None
    plan_id: UUID
    plan_name: str
    interval: Interval
    amount: int
    currency: str
    provider: str
    checkout: Checkout | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    standing: Standing

    @property
    def state(self) -> SubscriptionState:
        return self.standing.state

    def may_be_opening(self, now: datetime) -> bool:
        """Whether a page may be on its way that is not known here yet, and cannot be closed therefore."""
        return self.checkout is None and now - self.created_at < OPENING


@dataclass(frozen=True, slots=True)
class PeopleOfSubscription:
    """``is_gone``: the account at one of the ends was deleted. ``is_banned``: the creator's is."""

    subscription_id: UUID
    is_gone: bool
    is_banned: bool


_SELECT: Final = """
    SELECT subscriptions.id, user_id, subscriptions.creator_id, username, display_name, avatar,
           plan_id, plans.name, billing_interval, amount, plan_prices.currency, provider,
           checkout_ref, checkout_url, checkout_expires_at, subscriptions.created_at, started_at, ended_at,
           subscriptions.state, gives_access, cancels_at_end, period_end, price_id, provider_ref,
           event_at, event_rank
    FROM subscriptions
    JOIN users ON users.id = subscriptions.creator_id
    JOIN plan_prices ON plan_prices.id = price_id
    JOIN plans ON plans.id = plan_id"""
_PREVIOUS_MONTHS: Final = """
    SELECT coalesce(sum(CASE billing_interval WHEN 'year' THEN 12 ELSE 1 END), 0)
    FROM subscriptions AS earlier
    JOIN subscriptions AS this ON this.user_id = earlier.user_id AND this.creator_id = earlier.creator_id
    JOIN plan_prices ON plan_prices.id = earlier.price_id
    JOIN subscription_invoices AS invoices ON invoices.subscription_id = earlier.id AND is_period
    WHERE this.id = $1 AND earlier.id <> $1"""


class Subscriptions:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def is_subscriber(self, user_id: UUID, owner_id: UUID) -> bool:
        """Whether ``user_id`` has what subscribers of ``owner_id`` have now."""
        found: bool = await self._database.fetch_value(
            """SELECT EXISTS (SELECT FROM subscriptions
                 WHERE user_id = $1 AND creator_id = $2 AND state <> 'ended' AND gives_access)""",
            user_id,
            owner_id,
        )
        return found

    async def add(self, user_id: UUID, creator_id: UUID, price_id: UUID, provider: str) -> UUID:
        """INCOMPLETE, for now. Raises Conflict ``ONE_LIVE``."""
        subscription_id = new_id()
        await self._database.execute(
            """INSERT INTO subscriptions (id, user_id, creator_id, price_id, provider)
               VALUES ($1, $2, $3, $4, $5)""",
            subscription_id,
            user_id,
            creator_id,
            price_id,
            provider,
        )
        return subscription_id

    async def set_checkout(self, subscription_id: UUID, checkout: Checkout) -> bool:
        """False when it is not INCOMPLETE any more: then nothing is to be paid on that page."""
        found = await self._database.fetch_value(
            """UPDATE subscriptions SET checkout_ref = $2, checkout_url = $3, checkout_expires_at = $4
               WHERE id = $1 AND state = 'incomplete' RETURNING id""",
            subscription_id,
            checkout.ref,
            checkout.url,
            checkout.expires_at,
        )
        return found is not None

    async def find(self, subscription_id: UUID) -> Subscription | None:
        row = await self._database.fetch_row(f"{_SELECT} WHERE subscriptions.id = $1", subscription_id)
        return _subscription(row) if row else None

    async def lock(self, subscription_id: UUID) -> Subscription | None:
        """As ``find``; until the transaction ends nobody else changes it."""
        await self._database.fetch_row(
            "SELECT id FROM subscriptions WHERE id = $1 FOR NO KEY UPDATE", subscription_id
        )
        return await self.find(subscription_id)

    async def id_of(self, provider: str, provider_ref: str) -> UUID | None:
        """Of the subscription that the provider calls so."""
        found: UUID | None = await self._database.fetch_value(
            "SELECT id FROM subscriptions WHERE provider_ref = $2 AND provider = $1", provider, provider_ref
        )
        return found

    async def id_of_checkout(self, provider: str, checkout_ref: str) -> UUID | None:
        found: UUID | None = await self._database.fetch_value(
            "SELECT id FROM subscriptions WHERE checkout_ref = $2 AND provider = $1", provider, checkout_ref
        )
        return found

    async def live(self, user_id: UUID, creator_id: UUID) -> Subscription | None:
        """The one that has not ended."""
        row = await self._database.fetch_row(
            f"""{_SELECT} WHERE user_id = $1 AND subscriptions.creator_id = $2
                AND subscriptions.state <> 'ended'""",
            user_id,
            creator_id,
        )
        return _subscription(row) if row else None

    async def of_user(self, user_id: UUID, before: UUID | None, limit: int) -> list[Subscription]:
        """The newest first."""
        rows = await self._database.fetch(
            f"""{_SELECT} WHERE user_id = $1 AND ($2::uuid IS NULL OR subscriptions.id < $2)
                ORDER BY subscriptions.id DESC LIMIT $3""",
            user_id,
            before,
            limit,
        )
        return [_subscription(row) for row in rows]

    async def stand(self, subscription_id: UUID, standing: Standing) -> None:
        """Raises Conflict when another goes by its ``provider_ref``, InvalidValue for one that has ended."""
        await self._database.execute(
            """UPDATE subscriptions SET state = $2, gives_access = $3, cancels_at_end = $4, period_end = $5,
                      price_id = $6, provider_ref = $7, event_at = $8, event_rank = $9,
                      started_at = CASE WHEN $3 THEN coalesce(started_at, now()) ELSE started_at END,
                      ended_at = CASE WHEN $2 = 'ended' THEN coalesce(ended_at, now()) END
               WHERE id = $1""",
            subscription_id,
            standing.state.value,
            standing.gives_access,
            standing.cancels_at_end,
            standing.period_end,
            standing.price_id,
            standing.provider_ref,
            standing.event_at,
            standing.rank,
        )

    async def bind(self, subscription_id: UUID, provider_ref: str) -> None:
        """From now on the provider's name for it is known."""
        await self._database.execute(
            "UPDATE subscriptions SET provider_ref = $2 WHERE id = $1 AND provider_ref IS NULL",
            subscription_id,
            provider_ref,
        )

    async def give_up(self, subscription_id: UUID) -> None:
        """Nobody paid for it in time."""
        await self._database.execute(
            """UPDATE subscriptions SET state = 'ended', ended_at = now()
               WHERE id = $1 AND state = 'incomplete'""",
            subscription_id,
        )

    async def previous_months(self, subscription_id: UUID) -> int:
        """Months that its user paid in earlier subscriptions to the same creator."""
        months: int = await self._database.fetch_value(_PREVIOUS_MONTHS, subscription_id)
        return months

    async def due(self, provider: str, before: datetime, limit: int) -> list[UUID]:
        """Those whose time is over, the longest ago first."""
        rows = await self._database.fetch(
            """SELECT id FROM subscriptions
               WHERE provider = $1 AND period_end < $2 AND state IN ('active', 'past_due', 'canceled')
               ORDER BY period_end LIMIT $3""",
            provider,
            before,
            limit,
        )
        return [row["id"] for row in rows]

    async def people(self, after: UUID, limit: int) -> list[PeopleOfSubscription]:
        """Of those that have not ended, by id after ``after``."""
        rows = await self._database.fetch(
            """SELECT live.id, users.state = 'deleted' OR creators.state = 'deleted',
                      creators.state = 'banned'
               FROM (SELECT id, user_id, creator_id FROM subscriptions
                     WHERE id > $1 AND state <> 'ended' ORDER BY id LIMIT $2) AS live
               JOIN users ON users.id = live.user_id
               JOIN users AS creators ON creators.id = live.creator_id
               ORDER BY live.id""",
            after,
            limit,
        )
        return [PeopleOfSubscription(*row) for row in rows]


def _subscription(row: Row) -> Subscription:
    checkout = None
    if row["checkout_ref"] is not None:
        checkout = Checkout(row["checkout_ref"], row["checkout_url"], row["checkout_expires_at"])
    return Subscription(
        row["id"],
        row["user_id"],
        row["creator_id"],
        row["username"],
        row["display_name"],
        row["avatar"],
        row["plan_id"],
        row["name"],
        Interval(row["billing_interval"]),
        row["amount"],
        row["currency"],
        row["provider"],
        checkout,
        row["created_at"],
        row["started_at"],
        row["ended_at"],
        Standing(
            SubscriptionState(row["state"]),
            row["gives_access"],
            row["cancels_at_end"],
            row["period_end"],
            row["price_id"],
            row["provider_ref"],
            row["event_at"],
            row["event_rank"],
        ),
    )
