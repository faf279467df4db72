"""The server and its database die while Stripe tells of payments: Stripe asks again, and each counts once."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from storage.ids import new_id
from tests.faults.test_database import postmaster
from tests.helpers.server_process import ServerProcess
from tests.helpers.stripe_stand_in import SECRET_KEY, WEBHOOK_SECRET, StripeStandIn
from tests.helpers.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PASSWORD: Final = "correct horse battery"
PURCHASES: Final = 30
REFUNDED: Final = 10
HEAL_SECONDS: Final = 150.0
"""A server that starts again takes half a minute where others keep the processors busy."""
PAUSE_SECONDS: Final = 0.05
COINS, PRICE = 100, 129
MANY: Final = {
    "MEDIASERVER_API__REQUESTS_PER_WINDOW": "1000000",
    "MEDIASERVER_API__AUTHENTICATIONS_PER_WINDOW": "1000",
}


class World:
    def __init__(self, server: ServerProcess, stripe: StripeStandIn, http: aiohttp.ClientSession) -> None:
        self.server, self.stripe, self._http = server, stripe, http
        self._token = ""
        self.told = 0

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """(0, None) where there is no answer."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        headers |= options.pop("headers", {})
        url = f"{self.server.base_url}/api/v1{path}"
        try:
            async with self._http.request(method, url, headers=headers, **options) as answer:
                return answer.status, await answer.json()
        except aiohttp.ClientError:
            return 0, None

    async def sign_in(self, name: str) -> None:
        await asyncio.to_thread(
            self.server.admin,
            *("create-user", "--username", name, "--email", f"{name}@example.com", "--password", PASSWORD),
        )
        self._token = ""
        status, answer = await self.ask("POST", "/auth/login", json={"username": name, "password": PASSWORD})
        assert status == 200, answer
        self._token = answer["data"]["accessToken"]

    async def buy(self) -> dict[str, Any]:
        """What Stripe's page is, once it is paid."""
        _, packages = await self.ask("GET", "/coin-packages")
        body, headers = {"packageId": packages["data"][0]["id"]}, {"Idempotency-Key": str(new_id())}
        status, answer = await self.ask("POST", "/purchases", json=body, headers=headers)
        assert status == 201, answer
        purchase = answer["data"]["purchase"]
        return {
            "id": purchase["checkoutUrl"].rpartition("/")[2],
            "mode": "payment",
            "payment_status": "paid",
            "amount_total": purchase["amount"],
            "currency": purchase["currency"],
            "payment_intent": f"pi_{purchase['id']}",
            "metadata": {"purchase_id": purchase["id"]},
        }

    async def tell(self, body: bytes) -> None:
        """As Stripe does: again and again until it is taken."""
        async with asyncio.timeout(HEAL_SECONDS):
            while True:
                headers = {
                    "Stripe-Signature": self.stripe.signature(body),
                    "Content-Type": "application/json",
                }
                status, answer = await self.ask("POST", "/webhooks/stripe", data=body, headers=headers)
                if status == 200:
                    self.told += 1
                    return
                assert status in (0, 503), answer
                await asyncio.sleep(PAUSE_SECONDS)

    async def coins(self) -> int:
        async with asyncio.timeout(HEAL_SECONDS):
            while True:
                status, answer = await self.ask("GET", "/wallet")
                if status == 200:
                    return int(answer["data"]["coins"])
                await asyncio.sleep(PAUSE_SECONDS)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with StripeStandIn() as stripe, aiohttp.ClientSession() as http:
        settings = {
            **MANY,
            "MEDIASERVER_STRIPE__SECRET_KEY": SECRET_KEY,
            "MEDIASERVER_STRIPE__WEBHOOK_SECRET": WEBHOOK_SECRET,
            "MEDIASERVER_STRIPE__API_BASE": stripe.url,
        }
        server = ServerProcess(tmp_path / "data", settings=settings)
        try:
            await asyncio.to_thread(server.start)
            yield World(server, stripe, http)
        finally:
            await asyncio.to_thread(server.stop)


async def test_each_event_counts_once_whatever_dies(world: World) -> None:
    await world.sign_in("buyer")
    sessions = [await world.buy() for _ in range(PURCHASES)]
    events = [world.stripe.event("checkout.session.completed", session) for session in sessions]
    events += [world.stripe.event("charge.refunded", _refund(session)) for session in sessions[:REFUNDED]]
    events = events * 2
    random.Random(1).shuffle(events)
    telling = asyncio.gather(*(_paced(world, place, body) for place, body in enumerate(events)))
    faults = (_killer(world), lambda: postmaster(world.server).send_signal(signal.SIGKILL))
    for count, fault in zip((len(events) // 5, len(events) // 2), faults, strict=True):
        await eventually(lambda least=count: world.told >= least, HEAL_SECONDS)
        await asyncio.to_thread(fault)
    await telling
    assert await world.coins() == (PURCHASES - REFUNDED) * COINS
    found = await asyncio.to_thread(world.server.admin, "reconcile")
    assert found["differences"] == []


async def _paced(world: World, place: int, body: bytes) -> None:
    """Spread over the faults."""
    await asyncio.sleep(place * 0.05)
    await world.tell(body)


def _killer(world: World) -> Callable[[], None]:
    def kill() -> None:
        world.server.kill()
        world.server.start()

    return kill


def _refund(session: dict[str, Any]) -> dict[str, Any]:
    payment = session["payment_intent"]
    return {
        "id": f"ch_{payment}",
        "amount_refunded": PRICE,
        "currency": "usd",
        "payment_intent": payment,
    }
