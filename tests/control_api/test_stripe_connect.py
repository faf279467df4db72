"""Payouts through Stripe's own package, against a stand-in of its API."""

import pytest

from control_api.errors import ApiError
from control_api.payments.payout_ports import OnboardingLinks, TransferOrder, TransferRefused
from control_api.payments.stripe_client import StripeApi, StripeOptions
from control_api.payments.stripe_connect import StripePayouts
from storage.ids import new_id
from storage.repositories.payouts import Onboarding, PayoutState
from tests.control_api.payouts_world import Killed, Paying, payouts_world
from tests.helpers.stripe_connect_stand_in import ConnectStandIn

LINKS = OnboardingLinks("https://live.example/done", "https://live.example/expired")


@pytest.fixture
async def stripe(aiohttp_server):
    stand_in = ConnectStandIn()
    server = await aiohttp_server(stand_in.app())
    stand_in.url = str(server.make_url("")).rstrip("/")
    return stand_in


@pytest.fixture
async def provider(stripe):
    async with StripeApi(StripeOptions("sk_test_x", "whsec_x", stripe.url, 2.0)) as api:
        yield StripePayouts(api)


def order(account="acct_1"):
    return TransferOrder(new_id(), account, 6000, "usd")


async def test_an_account_is_opened_once(stripe, provider):
    user = new_id()
    accounts = {await provider.open_account(user, "alice@example.com") for _ in range(2)}
    assert accounts == {"acct_1"} == set(stripe.accounts)
    form = stripe.requests[0][2]
    assert (form["type"], form["capabilities[transfers][requested]"]) == ("express", "true")
    assert (form["email"], form["metadata[user_id]"]) == ("alice@example.com", str(user))


async def test_an_address_without_a_domain_is_left_out(stripe, provider):
    await provider.open_account(new_id(), "admin@localhost")
    assert "email" not in stripe.requests[0][2]


async def test_the_way_to_onboarding(stripe, provider):
    account = await provider.open_account(new_id(), "alice@example.com")
    assert await provider.onboarding_url(account, LINKS) == "https://connect.example/setup/acct_1"
    form = stripe.requests[-1][2]
    assert (form["return_url"], form["refresh_url"]) == (LINKS.done, LINKS.expired)


async def test_how_an_account_stands(stripe, provider):
    account = await provider.open_account(new_id(), "alice@example.com")
    assert (await provider.standing(account)).state is Onboarding.PENDING
    stripe.stand(account, active=False, due=("individual.id_number",))
    standing = await provider.standing(account)
    assert (standing.state, standing.problem) == (Onboarding.RESTRICTED, "individual.id_number")
    stripe.stand(account, active=True)
    assert (await provider.standing(account)).state is Onboarding.ACTIVE
    assert (await provider.standing("acct_gone")).state is Onboarding.RESTRICTED


async def test_a_transfer_is_made_once(stripe, provider):
    wanted = order()
    assert {await provider.transfer(wanted) for _ in range(3)} == {"tr_1"}
    assert len(stripe.transfers) == 1
    assert await provider.find_transfer(wanted.payout_id) == "tr_1"
    assert await provider.find_transfer(new_id()) is None


async def test_a_connection_that_breaks_is_tried_again_under_the_same_key(stripe, provider):
    stripe.drops = 1
    assert await provider.transfer(order()) == "tr_1"
    assert len(stripe.transfers) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "account_invalid"),
        (400, "transfers_not_allowed"),
        (403, "account_invalid"),
        (404, "resource_missing"),
    ],
)
async def test_what_stripe_will_never_do_is_refused(stripe, provider, status, code):
    stripe.faults = [(status, {"type": "invalid_request_error", "code": code, "message": "secret"})]
    with pytest.raises(TransferRefused) as refused:
        await provider.transfer(order())
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"type": "invalid_request_error", "code": "balance_insufficient"}),
        (401, {"type": "invalid_request_error"}),
        (403, {"type": "invalid_request_error", "code": "more_permissions_required"}),
    ],
)
async def test_what_the_operator_can_put_right_is_not_refused(stripe, provider, status, error):
    stripe.faults = [(status, error | {"message": "No."})] * 3
    with pytest.raises(ApiError) as raised:
        await provider.transfer(order())
    assert raised.value.code == "payment_provider_refused"


async def test_stripe_out_of_order_is_unavailable(stripe, provider, monkeypatch):
    monkeypatch.setattr("stripe._http_client.HTTPClient._sleep_time_seconds", lambda *_, **__: 0.0)
    stripe.faults = [(500, {"type": "api_error", "message": "No."})] * 3
    with pytest.raises(ApiError) as raised:
        await provider.transfer(order())
    assert raised.value.code == "unavailable"


async def test_a_payout_through_stripe(stripe, provider, database, aiohttp_client, monkeypatch):
    """The answer is lost, and Stripe has forgotten the key when it is tried again."""
    world = await payouts_world(database, aiohttp_client)
    paying, alice = Paying(database, provider), world.people["alice"].id
    await paying.settings.onboard(alice)
    stripe.stand("acct_1", active=True)
    await world.earn("alice", 6000)
    payout = await paying.payouts.demand(alice, "key")

    async def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(paying.sending, "_finish", killed)
        with pytest.raises(Killed):
            await paying.sending.send(payout.id)
    stripe.forgets_keys = True
    assert await paying.sending.send(payout.id) is PayoutState.PAID
    assert [transfer["amount"] for transfer in stripe.transfers] == [6000]
    assert await world.held("alice") == (0, 0, 6000)
