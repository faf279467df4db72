"""The server dies while it pays a creator, and pays once."""

import asyncio
from pathlib import Path

import pytest

from storage.database import Database
from storage.embedded import EmbeddedPostgres
from tests.control_api.live_api import PASSWORD
from tests.control_api.people_online import Caller, found_soon
from tests.helpers.server_process import ServerProcess
from tests.helpers.stripe_connect_stand_in import ConnectStandIn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

WAIT_SECONDS = 100.0
AMOUNT = 6000


@pytest.fixture
async def stripe(aiohttp_server):
    stand_in = ConnectStandIn()
    server = await aiohttp_server(stand_in.app())
    stand_in.url = str(server.make_url("")).rstrip("/")
    return stand_in


def settings_of(stripe: ConnectStandIn) -> dict[str, str]:
    return {
        "MEDIASERVER_STRIPE__SECRET_KEY": "sk_test_x",
        "MEDIASERVER_STRIPE__WEBHOOK_SECRET": "whsec_x",
        "MEDIASERVER_STRIPE__API_BASE": stripe.url,
    }


def begin(folder: Path, stripe: ConnectStandIn) -> ServerProcess:
    server = ServerProcess(folder, settings=settings_of(stripe))
    server.start()
    words = ("--username", "chief", "--email", "chief@example.com", "--password", PASSWORD)
    server.admin("create-user", *words, "--role", "superadmin")
    return server


def signed_in(server: ServerProcess) -> Caller:
    caller = Caller(server.base_url)
    body = {"username": "chief", "password": PASSWORD}
    caller.token = caller.get("POST", "/auth/login", body)["accessToken"]
    caller.session.cookies.clear()
    return caller


def earn_and_demand(server: ServerProcess, stripe: ConnectStandIn) -> str:
    """The payout's id."""
    chief = signed_in(server)
    chief.get("POST", "/payouts/onboarding")
    stripe.stand("acct_1", active=True)
    path = f"/admin/earnings/{chief.get('GET', '/users/me')['id']}/adjust"
    earned = {"amount": AMOUNT, "reason": "For a test"}
    chief.get("POST", path, earned, headers={"Idempotency-Key": "earn"})
    payout: str = chief.get("POST", "/payouts", headers={"Idempotency-Key": "pay"})["id"]
    return payout


async def end_lease(server: ServerProcess) -> None:
    """As if the server had been away for longer than an attempt lasts."""
    async with Database(EmbeddedPostgres(server.data_dir / "postgres").url) as database:
        await database.execute("UPDATE payouts SET lease_until = now()")


def finish(server: ServerProcess, payout: str) -> list[str]:
    """After a restart; the states of the payouts, once none is on its way."""
    server.start()
    asyncio.run(end_lease(server))
    chief = signed_in(server)
    chief.get("POST", f"/admin/payouts/{payout}/retry")

    def states() -> list[str]:
        found = [each["state"] for each in chief.get("GET", "/payouts")]
        return found if "pending" not in found else []

    return found_soon(states, WAIT_SECONDS)


async def test_a_server_killed_while_it_pays_pays_once(tmp_path, stripe):
    """Slow: a server starts twice. Stripe has moved the money, and the server dies before it hears of it."""
    server = await asyncio.to_thread(begin, tmp_path / "data", stripe)
    try:
        stripe.holds = "after"
        payout = await asyncio.to_thread(earn_and_demand, server, stripe)
        async with asyncio.timeout(WAIT_SECONDS):
            await stripe.held.wait()
        await asyncio.to_thread(server.kill)
        stripe.holds = None
        stripe.free.set()
        # Stripe may have forgotten the key, if the server was away for a day.
        stripe.forgets_keys = True
        assert await asyncio.to_thread(finish, server, payout) == ["paid"]
        assert [transfer["amount"] for transfer in stripe.transfers] == [AMOUNT]
        assert (await asyncio.to_thread(server.admin, "reconcile"))["differences"] == []
    finally:
        await asyncio.to_thread(server.stop)
