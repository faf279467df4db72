"""Subscriptions as the database knows them, without plans being bought."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from storage.database import Database
from storage.repositories.plans import Interval, Plans
from storage.repositories.subscriptions import Standing, Subscriptions, SubscriptionState


async def subscribe(database: Database, user_id: UUID, creator_id: UUID) -> UUID:
    """The subscription of one to the other, which runs."""
    plans, subscriptions = Plans(database), Subscriptions(database)
    plan_id = await plans.add(creator_id, "Regular", "")
    await plans.set_price(plan_id, Interval.MONTH, 500, "usd")
    price = await plans.current_price(plan_id, Interval.MONTH)
    assert price is not None
    subscription_id = await subscriptions.add(user_id, creator_id, price.id, "stripe")
    now = datetime.now(UTC)
    standing = Standing(
        SubscriptionState.ACTIVE,
        True,
        False,
        now + timedelta(days=30),
        price.id,
        f"sub_{subscription_id.hex}",
        now,
        1,
    )
    await subscriptions.stand(subscription_id, standing)
    return subscription_id


async def end(database: Database, subscription_id: UUID) -> None:
    await database.execute(
        "UPDATE subscriptions SET state = 'ended', gives_access = false, ended_at = now() WHERE id = $1",
        subscription_id,
    )
