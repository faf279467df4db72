"""Who pays is let in and marked, and whoever stops paying must leave: through the whole server.

The end of a subscription is told to the server as a payment provider does, by a signed webhook.
"""

import asyncio
import time
from dataclasses import dataclass
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import requests

from control_api.payments.demo_checkout import demo_secret
from control_api.payments.signatures import signature_of
from storage.ids import new_id
from tests.chat.live_chat import Live, Person, comes_true, unique

pytestmark = pytest.mark.slow

WITHIN_SECONDS = 2.0
"""A second, and as much for a machine that is busy."""


@dataclass
class Shop:
    """A creator with a room for subscribers, on the running server."""

    live: Live
    creator: Person
    plan: str

    async def subscribe(self, fan: Person) -> str:
        """And pay on the test page; the subscription's id."""
        made = await asyncio.to_thread(
            fan.caller.get,
            "POST",
            "/subscriptions",
            {"planId": self.plan},
            headers={"Idempotency-Key": str(new_id())},
        )
        page = urlsplit(made["checkoutUrl"]).path
        paid = await asyncio.to_thread(
            requests.post,
            f"{self.live.server.base_url}{page}/pay",
            timeout=10,
            allow_redirects=False,
        )
        assert (paid.status_code, paid.headers["Location"]) == (303, "/?subscription=done")
        return str(made["subscription"]["id"])

    async def end(self, subscription: str) -> None:
        """The provider says that it is over."""
        secret = demo_secret((self.live.server.data_dir / "secret-key").read_text().strip().encode())
        ended = {
            "id": f"sub_test_{subscription.replace('-', '')}",
            "status": "canceled",
            "metadata": {"subscription_id": subscription},
        }
        event: dict[str, Any] = {
            "id": f"evt_{token_hex(8)}",
            "type": "customer.subscription.deleted",
            "created": int(time.time()),
            "data": {"object": ended},
        }
        body = msgspec.json.encode(event)
        answer = await asyncio.to_thread(
            requests.post,
            f"{self.live.server.base_url}/api/v1/webhooks/stripe",
            data=body,
            headers={
                "Stripe-Signature": signature_of(secret, body, time.time()),
                "Content-Type": "application/json",
            },
            timeout=10,
        )
        assert answer.ok, answer.text


@pytest.fixture
async def shop(live: Live) -> Shop:
    creator = await live.newcomer()
    admin = await live.staff("sue", "admin")
    await admin.get("PATCH", f"/admin/users/{creator.id}", {"isCreator": True, "reason": "Sells bread"})
    plan = await creator.get("POST", "/plans", {"name": "Crust", "monthlyPrice": 500})
    live.people[creator.name] = creator
    return Shop(live, creator, plan["id"])


async def test_a_chat_for_subscribers_opens_and_closes_at_once(live: Live, shop: Shop) -> None:
    room, fan = await live.room(shop.creator.name), await live.newcomer()
    await shop.creator.get("PUT", f"/rooms/{room}/chat-settings", {"subscribersOnly": True})
    async with live.inside(shop.creator.name, room) as owner, live.chat(fan) as chat:
        await chat.join(room)
        await chat.refused("chat-message", roomId=room, message=unique())
        subscription = await shop.subscribe(fan)
        told = await owner.heard("subscription", userId=fan.id)
        assert (told["plan"], told["months"]) == ("Crust", 1)

        async def may_write() -> bool:
            return (await chat.ask("chat-message", roomId=room, message=unique("bread")))["t"] == "ack"

        await comes_true(may_write, WITHIN_SECONDS)
        assert (await owner.heard("new-message", userId=fan.id))["badge"] == "subscriber"
        await shop.end(subscription)

        async def may_not_write() -> bool:
            return not await may_write()

        await comes_true(may_not_write, WITHIN_SECONDS)


async def test_a_room_for_subscribers_opens_and_closes_at_once(live: Live, shop: Shop) -> None:
    room, fan = await live.room(shop.creator.name, visibility="subscribers"), await live.newcomer()
    path = f"/rooms/{room}/playback-token"
    assert await fan.code("POST", path) == "subscribers_only"
    async with live.chat(fan) as chat:
        assert await chat.refused("join-room", roomId=room) == "subscribers_only"
        subscription = await shop.subscribe(fan)
        await fan.get("POST", path)
        await chat.join(room)
        await shop.end(subscription)
        assert (await chat.heard("left", WITHIN_SECONDS, roomId=room))["code"] == "closed"
        assert await chat.refused("join-room", roomId=room) == "subscribers_only"
    assert await fan.code("POST", path) == "subscribers_only"


async def test_the_creator_sees_a_notification(live: Live, shop: Shop) -> None:
    fan = await live.newcomer()
    await shop.subscribe(fan)

    async def is_told() -> bool:
        found = await shop.creator.get("GET", "/notifications")
        return any(each["kind"] == "subscription" and each["data"]["userId"] == fan.id for each in found)

    await comes_true(is_told)
