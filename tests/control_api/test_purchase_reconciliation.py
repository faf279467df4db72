"""The proof that purchases are right finds what is wrong with them."""

import asyncpg
import pytest

from storage.purchase_checks import PURCHASE_CHECKS
from storage.reconciliation import reconcile
from tests.control_api.purchases_world import CHEST_PRICE, purchases_world

TAMPERING = {
    "purchase is not what was credited": "UPDATE purchases SET coins = coins + 1",
    "purchase is not what was paid": "UPDATE purchases SET amount = amount - 1",
    "coins bought without a purchase": "DELETE FROM purchase_transfers",
    "purchase credited more than once": """INSERT INTO purchase_transfers
        SELECT gen_random_uuid(), purchase_id, 'evt_x', kind FROM purchase_transfers
        WHERE kind = 'purchase'""",
    "event applied more than once": """ALTER TABLE purchase_transfers DROP CONSTRAINT purchase_transfers_once;
        INSERT INTO purchase_transfers
        SELECT gen_random_uuid(), purchase_id, event_id, kind FROM purchase_transfers""",
    "purchase moved without an event": "DELETE FROM payment_events",
}


@pytest.fixture
async def world(database, aiohttp_client):
    async with purchases_world(database, aiohttp_client) as world:
        yield world


def test_every_check_is_tried():
    assert set(TAMPERING) == set(PURCHASE_CHECKS)


@pytest.mark.parametrize("what", TAMPERING)
async def test_a_difference_is_found(world, what, database_url):
    """Whoever has the database's own rights can get around constraints; then it shows."""
    order = await world.paid()
    await world.spend(500)
    await world.tell("charge.refunded", order.charge(CHEST_PRICE // 2))
    await world.bought()
    assert await world.money.is_right()
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(TAMPERING[what])
    await connection.close()
    found = await reconcile(world.database)
    assert what in {difference.what for difference in found.differences}
