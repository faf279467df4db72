"""Plans of creators: what they offer to subscribers, and for how much."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from control_api.errors import conflict, forbidden, invalid, not_found
from control_api.pagination import Page, id_in, page_of
from control_api.services.money import MoneyOptions
from control_api.services.social import active_profile
from control_api.texts import clean_line, clean_text
from storage.database import Database, Transaction
from storage.repositories.plans import Interval, Plan, Plans

MAX_PLANS: Final = 20
MAX_NAME: Final = 50
MAX_DESCRIPTION: Final = 500
MIN_PRICE: Final = 100
MAX_PRICE: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class PlanOffer:
    """Prices in minor units; None where the plan is not offered by that interval."""

    name: str
    description: str
    monthly_price: int | None
    yearly_price: int | None


class PlansService:
    def __init__(self, database: Database, options: MoneyOptions) -> None:
        self._database = database
        self._currency = options.currency

    async def of_creator(
        self, asking: UUID | None, creator_id: UUID, cursor: str | None, limit: int
    ) -> Page[Plan]:
        """The oldest first; creators see those of their own that are not offered any more, too.

        Raises ApiError 404.
        """
        await active_profile(self._database, creator_id)
        found = await Plans(self._database).of_creator(
            creator_id, asking != creator_id, id_in(cursor), limit + 1
        )
        return page_of(found, limit, lambda plan: (plan.id,))

    async def create(self, creator_id: UUID, offer: PlanOffer) -> Plan:
        """Raises ApiError 400, 403 ``creators_only``, 409 ``too_many_plans``."""
        name = clean_line("name", offer.name, MAX_NAME)
        description = clean_text("description", offer.description, MAX_DESCRIPTION)
        _check_prices(offer.monthly_price, offer.yearly_price)
        async with self._database.transaction() as transaction:
            await _check_creator(transaction, creator_id)
            plans = Plans(transaction)
            if await plans.count_locked(creator_id) >= MAX_PLANS:
                raise conflict("too_many_plans", f"There can be {MAX_PLANS} plans; change one.")
            plan_id = await plans.add(creator_id, name, description)
            for interval, price in _prices(offer.monthly_price, offer.yearly_price):
                await plans.set_price(plan_id, interval, price, self._currency)
            plan = await plans.find(plan_id)
        assert plan is not None
        return plan

    async def change(self, creator_id: UUID, plan_id: UUID, changes: Mapping[str, Any]) -> Plan:
        """``changes``: fields of PlanOffer, and ``is_active``. New prices are for new subscribers.

        Raises ApiError 400, 403 ``creators_only``, 404.
        """
        changes = _cleaned(changes)
        async with self._database.transaction() as transaction:
            await _check_creator(transaction, creator_id)
            plans = Plans(transaction)
            known = await plans.lock(plan_id)
            if known is None or known.creator_id != creator_id:
                raise not_found("plan")
            await self._set_prices(plans, known, changes)
            await plans.change(plan_id, changes)
            plan = await plans.find(plan_id)
        assert plan is not None
        return plan

    async def _set_prices(self, plans: Plans, known: Plan, changes: Mapping[str, Any]) -> None:
        monthly = changes.get("monthly_price", known.monthly_price)
        yearly = changes.get("yearly_price", known.yearly_price)
        _check_prices(monthly, yearly)
        for interval, price in _prices(monthly, yearly):
            is_same = price == known.price(interval) and known.currency == self._currency
            if not is_same and not (price is None and known.price(interval) is None):
                await plans.set_price(known.id, interval, price, self._currency)


def _cleaned(changes: Mapping[str, Any]) -> dict[str, Any]:
    cleaned = dict(changes)
    if "name" in cleaned:
        cleaned["name"] = clean_line("name", cleaned["name"], MAX_NAME)
    if "description" in cleaned:
        cleaned["description"] = clean_text("description", cleaned["description"], MAX_DESCRIPTION)
    return cleaned


def _prices(monthly: int | None, yearly: int | None) -> list[tuple[Interval, int | None]]:
    return [(Interval.MONTH, monthly), (Interval.YEAR, yearly)]


def _check_prices(monthly: int | None, yearly: int | None) -> None:
    if monthly is None and yearly is None:
        raise invalid(
            "monthlyPrice", "a plan needs a monthly or yearly price; to end it, set active to false"
        )


async def _check_creator(transaction: Transaction, user_id: UUID) -> None:
    if not (await active_profile(transaction, user_id)).is_creator:
        raise forbidden("creators_only", "Only creators have plans; apply to become one.")
