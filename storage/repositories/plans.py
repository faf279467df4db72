"""Plans of creators, and what they cost. A price is never changed: another one takes its place."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id


class Interval(Enum):
    """How often a subscription is paid."""

    MONTH = "month"
    YEAR = "year"

    @property
    def months(self) -> int:
        return 1 if self is Interval.MONTH else 12


@dataclass(frozen=True, slots=True)
class Plan:
    """Prices are in minor units of ``currency``; None where the plan is not offered by that interval.

    ``currency`` is None for a plan without any price.
    """

    id: UUID
    creator_id: UUID
    name: str
    description: str
    is_active: bool
    currency: str | None
    monthly_price: int | None
    yearly_price: int | None
    created_at: datetime

    def price(self, interval: Interval) -> int | None:
        return self.monthly_price if interval is Interval.MONTH else self.yearly_price


@dataclass(frozen=True, slots=True)
class Price:
    """``plan_name`` is for the provider, who shows it."""

    id: UUID
    plan_id: UUID
    creator_id: UUID
    interval: Interval
    amount: int
    currency: str
    plan_name: str


_PLAN: Final = """
    SELECT plans.id, creator_id, name, description, is_active,
           coalesce(monthly.currency, yearly.currency) AS currency,
           monthly.amount AS monthly_price, yearly.amount AS yearly_price, plans.created_at
    FROM plans
    LEFT JOIN plan_prices AS monthly
         ON monthly.plan_id = plans.id AND monthly.billing_interval = 'month' AND monthly.is_current
    LEFT JOIN plan_prices AS yearly
         ON yearly.plan_id = plans.id AND yearly.billing_interval = 'year' AND yearly.is_current"""
_PRICE: Final = """
    SELECT plan_prices.id, plan_id, creator_id, billing_interval, amount, currency, name
    FROM plan_prices JOIN plans ON plans.id = plan_id"""


class Plans:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def count_locked(self, creator_id: UUID) -> int:
        """How many the creator has; nobody adds one of theirs until the transaction ends."""
        await self._database.fetch_row("SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE", creator_id)
        count: int = await self._database.fetch_value(
            "SELECT count(*) FROM plans WHERE creator_id = $1", creator_id
        )
        return count

    async def add(self, creator_id: UUID, name: str, description: str) -> UUID:
        plan_id = new_id()
        await self._database.execute(
            "INSERT INTO plans (id, creator_id, name, description) VALUES ($1, $2, $3, $4)",
            plan_id,
            creator_id,
            name,
            description,
        )
        return plan_id

    async def find(self, plan_id: UUID) -> Plan | None:
        row = await self._database.fetch_row(f"{_PLAN} WHERE plans.id = $1", plan_id)
        return _plan(row) if row else None

    async def lock(self, plan_id: UUID) -> Plan | None:
        """As ``find``; until the transaction ends nobody else changes the plan."""
        await self._database.fetch_row("SELECT id FROM plans WHERE id = $1 FOR NO KEY UPDATE", plan_id)
        return await self.find(plan_id)

    async def of_creator(
        self, creator_id: UUID, only_active: bool, after: UUID | None, limit: int
    ) -> list[Plan]:
        """The oldest first."""
        rows = await self._database.fetch(
            f"""{_PLAN} WHERE creator_id = $1 AND (is_active OR NOT $2)
                AND ($3::uuid IS NULL OR plans.id > $3) ORDER BY plans.id LIMIT $4""",
            creator_id,
            only_active,
            after,
            limit,
        )
        return [_plan(row) for row in rows]

    async def change(self, plan_id: UUID, changes: Mapping[str, Any]) -> None:
        """``changes``: ``name``, ``description``, ``is_active``; what is not in it stays."""
        await self._database.execute(
            """UPDATE plans SET name = coalesce($2, name), description = coalesce($3, description),
                      is_active = coalesce($4, is_active), updated_at = now()
               WHERE id = $1""",
            plan_id,
            changes.get("name"),
            changes.get("description"),
            changes.get("is_active"),
        )

    async def set_price(self, plan_id: UUID, interval: Interval, amount: int | None, currency: str) -> None:
        """For those who subscribe from now on; None ends the offer."""
        await self._database.execute(
            """UPDATE plan_prices SET is_current = false
               WHERE plan_id = $1 AND billing_interval = $2 AND is_current""",
            plan_id,
            interval.value,
        )
        if amount is not None:
            await self._database.execute(
                """INSERT INTO plan_prices (id, plan_id, billing_interval, amount, currency)
                   VALUES ($1, $2, $3, $4, $5)""",
                new_id(),
                plan_id,
                interval.value,
                amount,
                currency,
            )

    async def current_price(self, plan_id: UUID, interval: Interval) -> Price | None:
        row = await self._database.fetch_row(
            f"{_PRICE} WHERE plan_id = $1 AND billing_interval = $2 AND is_current", plan_id, interval.value
        )
        return _price(row) if row else None

    async def price(self, price_id: UUID) -> Price | None:
        """Also one that is not offered any more."""
        row = await self._database.fetch_row(f"{_PRICE} WHERE plan_prices.id = $1", price_id)
        return _price(row) if row else None

    async def provider_ref(self, price_id: UUID, provider: str) -> str | None:
        """What the provider calls the price, if it was told of it."""
        ref: str | None = await self._database.fetch_value(
            "SELECT provider_ref FROM plan_price_refs WHERE price_id = $1 AND provider = $2",
            price_id,
            provider,
        )
        return ref

    async def add_provider_ref(self, price_id: UUID, provider: str, ref: str) -> None:
        await self._database.execute(
            """INSERT INTO plan_price_refs (price_id, provider, provider_ref) VALUES ($1, $2, $3)
               ON CONFLICT DO NOTHING""",
            price_id,
            provider,
            ref,
        )

    async def price_id_of(self, provider: str, ref: str) -> UUID | None:
        found: UUID | None = await self._database.fetch_value(
            "SELECT price_id FROM plan_price_refs WHERE provider = $1 AND provider_ref = $2", provider, ref
        )
        return found


def _plan(row: Row) -> Plan:
    return Plan(*row)


def _price(row: Row) -> Price:
    return Price(row[0], row[1], row[2], Interval(row[3]), *row[4:])
