"""What administrators decide about gifts: what there is, what it costs, and what of it is a creator's."""

import pytest

from storage.ids import new_id
from storage.repositories.audit import AuditFilter, AuditLog
from tests.control_api.money_world import ROSE, money_world

BALLOON = {"slug": "balloon", "name": "Balloon", "priceCoins": 15, "picture": "🎈", "animation": "burst"}


@pytest.fixture
async def world(database, aiohttp_client):
    made = await money_world(database, aiohttp_client)
    await made.endow("bob", 1000)
    return made


async def add(world, user="admin", **fields):
    return await world.call("POST", "/admin/gifts", user, json=BALLOON | fields)


async def change(world, gift_id, user="admin", **fields):
    return await world.call("PATCH", f"/admin/gifts/{gift_id}", user, json=fields)


async def share(world, user_id, percent, actor="admin"):
    return await world.call("PUT", f"/admin/users/{user_id}/creator-share", actor, json={"percent": percent})


async def offered(world) -> list[str]:
    return [gift["slug"] for gift in (await world.call("GET", "/gifts"))[1]]


async def deeds(world) -> list[str]:
    entries = await AuditLog(world.database).list(AuditFilter())
    return [entry.action for entry in entries if entry.action != "wallet.adjusted"]


async def test_a_gift_is_added_and_can_be_given(world):
    status, gift = await add(world)
    assert (status, gift) == (201, BALLOON | {"id": gift["id"], "isActive": True})
    assert (await offered(world))[2] == "balloon"
    status, paid = await world.give(giftId=gift["id"])
    assert (status, paid["giftTransaction"]["coins"]) == (201, 15)
    assert await deeds(world) == ["gift.added"]


async def test_a_gift_gets_another_price(world):
    await world.give(key="before")
    status, gift = await change(world, ROSE, priceCoins=12, name=" Red rose ")
    assert (status, gift["priceCoins"], gift["name"], gift["picture"]) == (200, 12, "Red rose", "🌹")
    _, paid = await world.give()
    assert paid["giftTransaction"]["coins"] == 12
    _, again = await world.give(key="before")
    assert again["giftTransaction"]["coins"] == 10
    assert await deeds(world) == ["gift.changed"]


async def test_a_retired_gift_is_kept_and_may_come_back(world):
    await world.give()
    await change(world, ROSE, isActive=False)
    assert "rose" not in await offered(world)
    assert await world.give() == (404, "gift_not_found")
    _, everything = await world.call("GET", "/admin/gifts", "admin")
    assert {gift["slug"]: gift["isActive"] for gift in everything}["rose"] is False
    assert (await world.call("GET", "/gifts/sent", "bob"))[1][0]["gift"] == "rose"
    await change(world, ROSE, isActive=True)
    assert (await world.give())[0] == 201


async def test_all_gifts_come_in_pages(world):
    _, body, _ = await world.api.call("GET", "/admin/gifts?limit=10", "admin")
    cursor = body["meta"]["nextCursor"]
    _, rest = await world.call("GET", f"/admin/gifts?limit=10&cursor={cursor}", "admin")
    assert (len(body["data"]), len(rest)) == (10, 2)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"slug": "Balloon"}, "slug"),
        ({"slug": ""}, "slug"),
        ({"slug": "b" * 32}, "slug"),
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "\u202eevil"}, "name"),
        ({"name": "n" * 51}, "name"),
        ({"priceCoins": 0}, "priceCoins"),
        ({"priceCoins": -5}, "priceCoins"),
        ({"priceCoins": 1_000_001}, "priceCoins"),
        ({"priceCoins": 2**64}, "priceCoins"),
        ({"priceCoins": 1.5}, "priceCoins"),
        ({"picture": ""}, "picture"),
        ({"picture": "javascript:alert(1)"}, "picture"),
        ({"picture": "http://example.com/a.png"}, "picture"),
        ({"picture": "p" * 501}, "picture"),
        ({"animation": "explode"}, "animation"),
        ({"isActive": False}, "isActive"),
    ],
)
async def test_what_cannot_be_a_gift(world, fields, field):
    status, body, _ = await world.api.call("POST", "/admin/gifts", "admin", json=BALLOON | fields)
    assert (status, body["details"][0]["field"]) == (400, field)
    assert len(await offered(world)) == 12


async def test_a_slug_is_taken_once_and_for_ever(world):
    assert await add(world, slug="rose") == (409, "slug_taken")
    assert await change(world, ROSE, slug="rosebud") == (400, "invalid_request")
    assert await deeds(world) == []


async def test_a_gift_that_is_not_there_cannot_be_changed(world):
    assert await change(world, new_id(), priceCoins=5) == (404, "gift_not_found")
    assert await change(world, "rose", priceCoins=5) == (404, "gift_not_found")


async def test_a_creator_gets_a_share_of_their_own(world):
    alice = world.people["alice"].id
    assert await share(world, alice, 90) == (200, {"userId": str(alice), "percent": 90})
    await world.tip(100)
    assert await world.money.earnings(world.people["alice"]) == 90
    assert await share(world, alice, None) == (200, {"userId": str(alice), "percent": None})
    await world.tip(100)
    assert await world.money.earnings(world.people["alice"]) == 160
    assert await deeds(world) == ["creator_share.set"] * 2


@pytest.mark.parametrize("percent", [-1, 101, 50.5, "50", 2**63])
async def test_what_is_no_share(world, percent):
    assert await share(world, world.people["alice"].id, percent) == (400, "invalid_request")


async def test_a_share_for_somebody_who_is_not_there(world):
    assert await share(world, new_id(), 50) == (404, "user_not_found")
    assert await share(world, "alice", 50) == (404, "user_not_found")


@pytest.mark.parametrize("user", ["alice", None])
async def test_only_administrators_decide(world, user):
    refusal = (403, "forbidden") if user else (401, "unauthorized")
    assert await add(world, user) == refusal
    assert await change(world, ROSE, user, priceCoins=1) == refusal
    assert await share(world, world.people["alice"].id, 100, user) == refusal
    assert await world.call("GET", "/admin/gifts", user) == refusal
