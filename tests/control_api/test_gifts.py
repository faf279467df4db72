"""Gifts and tips: who pays, who earns, what is refused, who hears of it."""

import asyncio

import pytest

from control_api.services.money import MoneyOptions
from storage.bus import GiftSent, TipSent
from storage.ids import new_id
from storage.repositories.gifts import Gifts
from storage.repositories.rooms import Visibility
from tests.control_api.money_world import ROSE, ROSE_COINS, live_room, money_world


@pytest.fixture
async def world(database, aiohttp_client):
    made = await money_world(database, aiohttp_client)
    await made.endow("bob", 1000)
    return made


async def test_the_catalogue_has_twelve_gifts_for_everybody(world):
    status, gifts = await world.call("GET", "/gifts")
    assert (status, len(gifts)) == (200, 12)
    assert gifts[0] == {
        "id": str(ROSE),
        "slug": "rose",
        "name": "Rose",
        "priceCoins": 10,
        "picture": "🌹",
        "animation": "float",
    }
    assert [gift["priceCoins"] for gift in gifts] == sorted(gift["priceCoins"] for gift in gifts)


async def test_the_catalogue_comes_in_pages(world):
    status, body, _ = await world.api.call("GET", "/gifts?limit=7")
    cursor = body["meta"]["nextCursor"]
    _, rest = await world.call("GET", f"/gifts?limit=7&cursor={cursor}")
    assert (status, len(rest)) == (200, 5)
    assert not {gift["id"] for gift in rest} & {gift["id"] for gift in body["data"]}


async def test_a_gift_is_paid_and_split(world):
    status, paid = await world.give(quantity=3)
    assert status == 201
    gift = paid["giftTransaction"]
    assert (gift["giftId"], gift["quantity"], gift["coins"], gift["combo"]) == (str(ROSE), 3, 30, 3)
    assert paid["wallet"]["coins"] == await world.coins("bob") == 970
    _, wallet = await world.call("GET", "/wallet", "alice")
    assert (wallet["coins"], wallet["earnings"], wallet["currency"]) == (0, 21, "usd")
    assert await world.money.is_right()


async def test_a_tip_is_paid_and_split(world):
    status, paid = await world.tip(50, message="  For the oven ")
    assert (status, paid["wallet"]["coins"]) == (201, 950)
    gift = paid["giftTransaction"]
    assert (gift["giftId"], gift["coins"], gift["message"]) == (None, 50, "For the oven")
    assert await world.money.earnings(world.people["alice"]) == 35


async def test_a_creator_may_have_a_share_of_their_own(world):
    alice = world.people["alice"]
    for percent, earned in ((90, 90), (0, 90), (None, 160)):
        await Gifts(world.database).set_share(alice.id, percent)
        assert (await world.tip(100))[0] == 201
        assert await world.money.earnings(alice) == earned
    assert await world.money.is_right()


@pytest.mark.parametrize(
    ("coins", "percent", "value", "earned"),
    [
        (10, 70, 1, 7),
        (1, 70, 1, 0),
        (1, 99, 1, 0),
        (1, 100, 1, 1),
        (7, 50, 1, 3),
        (3, 70, 1, 2),
        (10, 70, 3, 21),
        (7, 0, 9, 0),
    ],
)
def test_parts_are_rounded_down(coins, percent, value, earned):
    assert MoneyOptions(coin_value=value).earned(coins, percent) == earned


async def test_who_has_not_enough_pays_nothing(world):
    assert await world.give(quantity=101) == (402, "insufficient_coins")
    assert await world.give("carol") == (402, "insufficient_coins")
    assert await world.coins("bob") == 1000
    assert await world.database.fetch_value("SELECT count(*) FROM gift_transactions") == 0
    assert await world.money.is_right()


async def test_the_same_key_pays_once(world):
    first = await world.give(key="once")
    again = await world.give(key="once")
    assert first == again
    assert await world.coins("bob") == 990
    assert await world.give(quantity=2, key="once") == (422, "idempotency_key_reused")
    assert await world.tip(10, key="once") == (422, "idempotency_key_reused")


async def test_the_key_counts_when_the_answer_did_not_arrive(world):
    """Meanwhile the room has ended, and more was given."""
    _, first = await world.give(key="once")
    await world.give()
    world.money.media.viewers.clear()
    path, body = f"/rooms/{world.room_id}/gifts", {"giftId": str(ROSE)}
    headers = {"Idempotency-Key": "once"}
    status, answer, sent = await world.api.call("POST", path, "bob", json=body, headers=headers)
    assert (status, sent["Idempotency-Replayed"]) == (201, "true")
    assert answer["data"]["giftTransaction"] == first["giftTransaction"]
    assert answer["data"]["wallet"]["coins"] == 980
    assert await world.give(quantity=2, key="once") == (422, "idempotency_key_reused")
    assert await world.coins("bob") == 980


async def test_a_key_of_an_adjustment_is_no_key_of_a_gift(world):
    adjustment = {"coins": 50, "reason": "x"}
    admin = world.people["admin"]
    path = f"/admin/wallets/{admin.id}/adjust"
    assert (await world.call("POST", path, "admin", "once", json=adjustment))[0] == 200
    assert await world.give("admin", key="once") == (422, "idempotency_key_reused")
    assert await world.coins("admin") == 50


async def test_keys_of_others_are_others(world):
    await world.endow("carol", 100)
    assert (await world.give("bob", key="one"))[0] == (await world.give("carol", key="one"))[0] == 201
    assert (await world.coins("bob"), await world.coins("carol")) == (990, 90)


async def test_twenty_at_once_with_one_key_pay_once(world):
    """Below the dispatcher, which would let only one of them through."""
    gifts, bob = world.money.gifts, world.people["bob"]
    paid = await asyncio.gather(*(gifts.give(bob.id, world.room_id, "key", ROSE, 1) for _ in range(20)))
    assert len({each.given.id for each in paid}) == 1
    assert await world.coins("bob") == 1000 - ROSE_COINS
    assert await world.money.is_right()


async def test_two_who_spend_the_last_coins(world):
    await world.endow("carol", ROSE_COINS)
    answers = await asyncio.gather(*(world.give("carol") for _ in range(6)))
    assert sorted(status for status, _ in answers) == [201, 402, 402, 402, 402, 402]
    assert await world.coins("carol") == 0
    assert await world.money.is_right()


async def test_the_welcome_bonus_can_be_given_at_once(world):
    """Also by somebody who has never looked into the wallet."""
    await world.verify("carol")
    status, paid = await world.give("carol")
    assert (status, paid["wallet"]["coins"]) == (201, 90)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": 1001}, "quantity"),
        ({"quantity": 2**63}, "quantity"),
        ({"quantity": 1.5}, "quantity"),
        ({"quantity": "1"}, "quantity"),
        ({"giftId": "rose"}, "giftId"),
        ({"coins": 1}, "coins"),
    ],
)
async def test_what_is_no_gift_is_refused(world, fields, field):
    body = {"giftId": str(ROSE), "quantity": 1} | fields
    headers = {"Idempotency-Key": "x"}
    path = f"/rooms/{world.room_id}/gifts"
    status, answer, _ = await world.api.call("POST", path, "bob", json=body, headers=headers)
    assert (status, answer["details"][0]["field"]) == (400, field)
    assert await world.coins("bob") == 1000


@pytest.mark.parametrize("coins", [0, -5, 1_000_001, 2**63, 2**64, 1.5, None, "5"])
async def test_what_is_no_tip_is_refused(world, coins):
    assert await world.tip(coins) == (400, "invalid_request")
    assert await world.coins("bob") == 1000


@pytest.mark.parametrize("message", ["a" * 201, "a\x00b", "\ud800", "\u202eabc", "a\nb"])
async def test_words_that_cannot_be_are_refused(world, message):
    assert (await world.tip(5, message=message))[0] == 400
    assert await world.coins("bob") == 1000


class SlowWords:
    """Judged when it is said so."""

    def __init__(self):
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def check(self, room_id, user_id, message):
        self.asked.set()
        await self.go.wait()


async def test_words_hold_up_nobody_else(database, aiohttp_client):
    words = SlowWords()
    world = await money_world(database, aiohttp_client, words=words)
    for user in ("bob", "carol"):
        await world.endow(user, 100)
    slow = asyncio.create_task(world.tip(5, message="Hello", key="slow"))
    await words.asked.wait()
    assert (await world.give("carol"))[0] == 201
    assert (await world.tip(5, "carol"))[0] == 201
    assert not slow.done()
    words.go.set()
    status, first = await slow
    words.go.clear()
    # What was given already is not judged again.
    assert await world.tip(5, message="Hello", key="slow") == (status, first)
    assert await world.tip(5, message="Other words", key="slow") == (422, "idempotency_key_reused")


async def test_a_room_that_is_hidden_judges_no_words(database, aiohttp_client):
    world = await money_world(database, aiohttp_client, words=SlowWords())
    world.room_id = await live_room(world.money, world.people["alice"], Visibility.PRIVATE)
    assert await world.tip(5, message="Hello") == (404, "room_not_found")


async def test_a_key_is_needed(world):
    path = f"/rooms/{world.room_id}/gifts"
    status, body, _ = await world.api.call("POST", path, "bob", json={"giftId": str(ROSE)})
    assert (status, body["details"][0]["field"]) == (400, "Idempotency-Key")


async def test_a_gift_that_is_not_there_or_not_offered(world):
    assert await world.give(giftId=str(new_id())) == (404, "gift_not_found")
    await world.database.execute("UPDATE gifts SET is_active = false WHERE id = $1", ROSE)
    assert await world.give() == (404, "gift_not_found")
    assert len((await world.call("GET", "/gifts"))[1]) == 11


async def test_nobody_gives_to_themselves(world):
    await world.endow("alice", 100)
    assert await world.give("alice") == (403, "own_room")
    assert await world.tip(5, "alice") == (403, "own_room")


async def test_a_room_that_is_not_live_gets_nothing(world):
    world.money.media.viewers.clear()
    assert await world.give() == (409, "room_not_live")
    assert await world.tip(5) == (409, "room_not_live")


async def test_a_room_that_is_live_elsewhere_gets_something(world):
    world.money.media.viewers.clear()
    broadcast = new_id()
    await world.database.execute(
        "INSERT INTO broadcasts (id, room_id, started_at) VALUES ($1, $2, now())", broadcast, world.room_id
    )
    await world.database.execute(
        """INSERT INTO room_live_state (room_id, broadcast_id, node, started_at, last_seen)
           VALUES ($1, $2, 'elsewhere', now(), now())""",
        world.room_id,
        broadcast,
    )
    assert (await world.give())[0] == 201


async def test_who_is_banned_from_the_room_cannot_give(world):
    await world.database.execute("INSERT INTO chat_rooms (room_id) VALUES ($1)", world.room_id)
    await world.database.execute(
        "INSERT INTO chat_bans (room_id, user_id, created_by) VALUES ($1, $2, $2)",
        world.room_id,
        world.people["bob"].id,
    )
    assert await world.give() == (403, "banned")
    await world.database.execute("UPDATE chat_bans SET is_shadow = true")
    assert (await world.give())[0] == 201


async def test_who_is_blocked_or_may_not_watch_cannot_give(world):
    bob, alice = world.people["bob"], world.people["alice"]
    await world.database.execute("INSERT INTO blocks (user_id, blocked_id) VALUES ($1, $2)", alice.id, bob.id)
    assert await world.give() == (403, "blocked")
    await world.database.execute("DELETE FROM blocks")
    for visibility, answer in (
        (Visibility.FOLLOWERS, (403, "followers_only")),
        (Visibility.SUBSCRIBERS, (403, "subscribers_only")),
        (Visibility.PRIVATE, (404, "room_not_found")),
    ):
        world.room_id = await live_room(world.money, alice, visibility)
        assert await world.give() == answer


@pytest.mark.parametrize("state", ["suspended", "banned", "deleted"])
async def test_the_room_of_somebody_who_is_gone_gets_nothing(world, state):
    await world.database.execute("UPDATE users SET state = $2 WHERE id = $1", world.people["alice"].id, state)
    assert await world.give() == (404, "room_not_found")


@pytest.mark.parametrize("state", ["suspended", "banned", "deleted"])
async def test_who_is_banned_from_the_server_cannot_give(world, state):
    """Whose session is still known here."""
    await world.database.execute("UPDATE users SET state = $2 WHERE id = $1", world.people["bob"].id, state)
    assert await world.give() == (403, "account_suspended")


async def test_rooms_that_are_not_there_and_people_who_have_not_signed_in(world):
    world.room_id = new_id()
    assert await world.give() == (404, "room_not_found")
    assert await world.give(None) == (401, "unauthorized")
    assert await world.call("GET", f"/rooms/{world.room_id}/leaderboard") == (404, "room_not_found")
    assert await world.call("GET", "/gifts/sent") == (401, "unauthorized")


async def test_the_same_gift_again_is_a_combo(world):
    combos = [(await world.give(quantity=n))[1]["giftTransaction"]["combo"] for n in (1, 1, 3)]
    assert combos == [1, 2, 5]
    heart = (await world.call("GET", "/gifts"))[1][1]["id"]
    assert (await world.give(giftId=heart))[1]["giftTransaction"]["combo"] == 1
    assert (await world.give())[1]["giftTransaction"]["combo"] == 1
    await world.database.execute(
        "UPDATE gift_transactions SET created_at = created_at - interval '11 seconds'"
    )
    assert (await world.give())[1]["giftTransaction"]["combo"] == 1


async def test_rooms_hear_of_gifts_and_tips_with_totals(world):
    await world.give(quantity=2)
    await world.tip(5, message="Hello")
    assert await world.money.news.tell_once() == 2
    gift, tip = world.money.events
    assert isinstance(gift, GiftSent) and isinstance(tip, TipSent)
    assert (gift.room_id, gift.username, gift.gift, gift.quantity, gift.coins, gift.combo) == (
        str(world.room_id),
        "bob",
        "rose",
        2,
        20,
        2,
    )
    assert (tip.coins, tip.message, tip.room_coins) == (5, "Hello", 25)
    assert await world.money.news.tell_once() == 0
    assert len(world.money.events) == 2


async def test_gifts_of_a_room_that_is_gone_are_kept_and_not_told(world):
    await world.give()
    await world.database.execute("DELETE FROM rooms WHERE id = $1", world.room_id)
    assert await world.money.news.tell_once() == 1
    assert world.money.events == []
    _, sent = await world.call("GET", "/gifts/sent", "bob")
    assert len(sent) == 1
    assert await world.money.is_right()


async def test_the_leaderboard_by_day_week_and_in_all(world):
    await world.endow("carol", 1000)
    await world.tip(300, "carol")
    await world.money.news.tell_once()
    await world.database.execute("UPDATE gift_totals SET since = since - 14 WHERE period <> 'all'")
    await world.give(quantity=2)
    await world.money.news.tell_once()

    async def leaders(period: str) -> list[tuple[str, int]]:
        _, board = await world.call("GET", f"/rooms/{world.room_id}/leaderboard?period={period}")
        assert (board["totalCoins"], board["totalGifts"]) == (320, 2)
        return [(leader["user"]["username"], leader["coins"]) for leader in board["leaders"]]

    assert await leaders("day") == await leaders("week") == [("bob", 20)]
    assert await leaders("all") == [("carol", 300), ("bob", 20)]


@pytest.mark.parametrize("query", ["period=year", "limit=0", "limit=51", "cursor=x"])
async def test_a_leaderboard_of_something_else(world, query):
    answer = await world.call("GET", f"/rooms/{world.room_id}/leaderboard?{query}")
    assert answer == (400, "invalid_request")


async def test_the_leaderboard_of_a_private_room_is_not_told(world):
    room = await live_room(world.money, world.people["alice"], Visibility.PRIVATE)
    assert await world.call("GET", f"/rooms/{room}/leaderboard", "bob") == (404, "room_not_found")
    assert (await world.call("GET", f"/rooms/{room}/leaderboard", "alice"))[0] == 200


async def test_both_sides_see_what_was_given(world):
    for quantity in (1, 2, 3):
        await world.give(quantity=quantity)
    status, body, _ = await world.api.call("GET", "/gifts/sent?limit=2", "bob")
    assert status == 200
    assert [(gift["quantity"], gift["user"]["username"]) for gift in body["data"]] == [
        (3, "alice"),
        (2, "alice"),
    ]
    _, rest = await world.call("GET", f"/gifts/sent?cursor={body['meta']['nextCursor']}", "bob")
    assert [gift["quantity"] for gift in rest] == [1]
    _, received = await world.call("GET", "/gifts/received", "alice")
    assert [(gift["earned"], gift["user"]["username"]) for gift in received] == [
        (21, "bob"),
        (14, "bob"),
        (7, "bob"),
    ]
    assert (await world.call("GET", "/gifts/received", "bob"))[1] == []
