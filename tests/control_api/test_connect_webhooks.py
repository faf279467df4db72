"""What Stripe says of creators' accounts comes signed, to an endpoint of its own, and credits nobody."""

import time

import msgspec
import pytest

from control_api.payments.connect_events import ConnectEvents
from control_api.payments.events import PaymentEvents
from control_api.payments.signatures import signature_of
from control_api.routes.connect_webhooks import ConnectWebhookRoutes
from control_api.routes.payout_settings import PayoutSettingsRoutes
from storage.ids import new_id
from tests.control_api.payouts_world import payouts_world
from tests.control_api.rooms_world import Nouns
from tests.control_api.serving import serve

SECRET = "whsec_of_the_endpoint_for_connect"


@pytest.fixture
async def world(database, aiohttp_client):
    world = await payouts_world(database, aiohttp_client)
    events = PaymentEvents(database, ConnectEvents(SECRET), world.paying.sending.handlers())
    nouns = Nouns(ConnectWebhookRoutes(events), PayoutSettingsRoutes(world.paying.settings))
    world.world.api = await serve(nouns, database, aiohttp_client, *world.people.values())
    await world.onboard("alice")
    return world


def account_of(world):
    return f"acct_{world.people['alice'].id.hex}"


async def tell(world, kind, data, account, secret=SECRET, at=None):
    """The answer's status."""
    at = time.time() if at is None else at
    event = {
        "id": f"evt_{new_id().hex}",
        "type": kind,
        "created": int(at) + 1,
        "account": account,
        "data": {"object": data},
    }
    body = msgspec.json.encode(event)
    headers = {"Stripe-Signature": signature_of(secret, body, at), "Content-Type": "application/json"}
    client = world.world.api.client
    return (await client.post("/api/v1/webhooks/stripe/connect", data=body, headers=headers)).status


async def standing(world):
    _, settings = await world.call("GET", "/payouts/settings", "alice")
    return settings["onboarding"], settings["problem"]


async def test_a_banks_refusal_stops_payouts_to_the_account(world):
    failed = {"id": "po_1", "failure_message": "The account is closed"}
    assert await tell(world, "payout.failed", failed, account_of(world)) == 200
    assert await standing(world) == ("restricted", "The account is closed")


async def test_accounts_are_told_of(world):
    updated = {"id": account_of(world), "details_submitted": True}
    assert await tell(world, "account.updated", updated, account_of(world)) == 200
    assert (await standing(world))[0] == "restricted"


@pytest.mark.parametrize("account", [None, 5, "", "acct_nobody", "x" * 300])
async def test_failures_of_nobodys_account_change_nothing(world, account):
    assert await tell(world, "payout.failed", {"id": "po_1"}, account) == 200
    assert await standing(world) == ("active", "")


async def test_the_account_is_that_of_the_event(world):
    """Not what stands in the object."""
    lie = {"id": "po_1", "connected_account": account_of(world)}
    assert await tell(world, "payout.failed", lie, "acct_nobody") == 200
    assert await tell(world, "payout.failed", lie, None) == 200
    assert await standing(world) == ("active", "")


async def test_forged_and_stale_events_are_refused(world):
    updated = {"id": account_of(world), "details_submitted": True}
    assert await tell(world, "account.updated", updated, None, secret="whsec_other") == 400
    assert await tell(world, "account.updated", updated, None, at=time.time() - 1000) == 400
    assert await standing(world) == ("active", "")


async def test_purchases_are_nothing_to_this_endpoint(world):
    assert await tell(world, "checkout.session.completed", {"id": "cs_1"}, account_of(world)) == 200
    assert await world.database.fetch_value("SELECT count(*) FROM ledger_transfers") == 0
