"""TEST provider of payouts: its page, and that all comes by signed events."""

import pytest

from control_api.errors import ApiError
from control_api.payments.demo_events import DemoEvents
from control_api.payments.demo_payouts import DemoOnboarding, DemoOutcome, DemoPayouts
from control_api.payments.events import PaymentEvents
from control_api.payments.no_payouts import NoPayouts
from control_api.payments.payout_ports import OnboardingLinks
from control_api.payments.signatures import SignedEvents
from control_api.routes.demo_onboarding import DemoOnboardingRoutes
from control_api.routes.payout_settings import PayoutSettingsRoutes
from tests.control_api.payouts_world import BASE, Paying, payouts_world
from tests.control_api.rooms_world import Nouns
from tests.control_api.serving import serve

SECRET = "a secret of the server's, long enough"


@pytest.fixture
async def world(database, aiohttp_client):
    world = await payouts_world(database, aiohttp_client)
    provider = DemoPayouts(SECRET, lambda: BASE)
    world.paying = Paying(database, provider)
    events = PaymentEvents(database, SignedEvents(SECRET), world.paying.sending.handlers())
    onboarding = DemoOnboarding(provider, DemoEvents(events, SECRET))
    nouns = Nouns(PayoutSettingsRoutes(world.paying.settings), DemoOnboardingRoutes(onboarding))
    world.world.api = await serve(nouns, database, aiohttp_client, *world.people.values())
    return world


async def page_of(world):
    _, answer = await world.call("POST", "/payouts/onboarding", "alice")
    return answer["url"].removeprefix(BASE)


async def onboarding(world):
    return (await world.call("GET", "/payouts/settings", "alice"))[1]["onboarding"]


@pytest.mark.parametrize("outcome", [outcome.value for outcome in DemoOutcome])
async def test_the_page_says_what_it_is_and_its_buttons_work(world, outcome):
    client, page = world.world.api.client, await page_of(world)
    shown = await client.get(page)
    text = await shown.text()
    assert (shown.status, shown.content_type) == (200, "text/html")
    assert text.count("TEST") == 2
    action = f'action="{page}?outcome={outcome}"'
    assert action in text
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    left = await client.post(f"{page}?outcome={outcome}", headers=form, allow_redirects=False)
    assert (left.status, left.headers["Location"]) == (303, "/api/v1/payouts/onboarding/done")
    assert await onboarding(world) == outcome
    sql = "SELECT count(*) FROM payment_events WHERE kind = 'account.updated'"
    assert await world.database.fetch_value(sql) == 1


async def test_only_to_look_changes_nothing(world):
    await world.world.api.client.get(await page_of(world))
    assert await onboarding(world) == "pending"


@pytest.mark.parametrize("token", ["x", "a.b.c", "x" * 5000, "%3Cscript%3E", "<script>"])
async def test_other_addresses_are_no_page(world, token):
    client = world.world.api.client
    assert (await client.get(f"/api/v1/payouts/test-onboarding/{token}")).status == 404
    path = f"/api/v1/payouts/test-onboarding/{token}?outcome=active"
    assert (await client.post(path)).status == 404


async def test_a_page_of_another_server_is_none_here(world):
    other = DemoPayouts("another secret, of another server", lambda: BASE)
    url = await other.onboarding_url("acct_test_x", OnboardingLinks("https://evil.example", ""))
    assert (await world.world.api.client.get(url.removeprefix(BASE))).status == 404


@pytest.mark.parametrize("query", ["", "?outcome=rich"])
async def test_buttons_that_are_not_there(world, query):
    assert (await world.world.api.client.post(await page_of(world) + query)).status == 400


async def test_a_payout_of_the_test_provider(world):
    page = await page_of(world)
    await world.world.api.client.post(f"{page}?outcome=active", allow_redirects=False)
    await world.earn("alice", 6000)
    await world.be_due("alice")
    assert (await world.paying.job.work_once()).paid == 1
    assert (await world.last("alice")).reference.startswith("tr_test_")
    assert await world.held("alice") == (0, 0, 6000)


async def test_without_a_provider_nobody_is_paid_and_nothing_breaks(world):
    none = Paying(world.database, NoPayouts())
    alice = world.people["alice"].id
    for refused in (none.settings.onboard(alice), none.payouts.demand(alice, "key")):
        with pytest.raises(ApiError) as raised:
            await refused
        assert raised.value.code in ("payments_not_configured", "payout_not_onboarded")
    assert (await none.settings.of(alice)).account is None
