"""The proof that subscriptions are right finds what is wrong with them."""

import time
from typing import Any

import asyncpg
import pytest

from storage.database import Database
from storage.reconciliation import reconcile
from storage.repositories.subscriptions import Subscription
from storage.subscription_checks import SUBSCRIPTION_CHECKS
from tests.control_api.subscriptions_world import invoice, subscriptions_world

TAMPERING = {
    "invoice is not what was paid": "UPDATE subscription_invoices SET amount = amount + 1000",
    "invoice is not what was earned": "UPDATE subscription_invoices SET earned = earned - 1",
    "invoice is not what was noted of its refunds": "UPDATE subscription_refunds SET amount = amount + 1",
    "refund of an invoice is not what was paid back": "UPDATE subscription_invoices SET refunded = 70",
    "refund of an invoice is not what was taken from the earnings": (
        "UPDATE subscription_invoices SET taken_back = taken_back + 1"
    ),
    "subscription paid without an invoice": "DELETE FROM subscription_invoices",
}


def test_every_check_is_tried():
    assert set(TAMPERING) == set(SUBSCRIPTION_CHECKS)


@pytest.mark.parametrize("what", TAMPERING)
async def test_a_difference_is_found(database: Database, aiohttp_client: Any, database_url: str, what: str):
    """Whoever has the database's own rights can get around constraints; then it shows."""
    world = await subscriptions_world(database, aiohttp_client)
    known = await world.find(await world.subscribe("carol"))
    events = world.billing
    await events.send(
        "invoice.paid", invoice(known, "in_2", payment_intent="pi_2", parent=None, **_of(known))
    )
    await events.send("charge.refunded", {"id": "ch_2", "payment_intent": "pi_2", "amount_refunded": 101})
    dispute = {"id": "dp_2", "payment_intent": "pi_2", "amount": 500}
    await events.send("charge.dispute.funds_withdrawn", dispute, time.time() - 10)
    await events.send("charge.dispute.funds_reinstated", dispute, time.time() - 5)
    assert await world.is_right()
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(TAMPERING[what])
    await connection.close()
    found = await reconcile(world.database)
    assert what in {difference.what for difference in found.differences}


def _of(known: Subscription) -> dict[str, Any]:
    """As the test provider calls it."""
    return {"subscription": known.standing.provider_ref}
