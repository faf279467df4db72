"""Gifts that are paid together: what one of them does to the others."""

import asyncio
from dataclasses import replace

import pytest

from control_api.errors import ApiError
from control_api.services import gift_till
from control_api.services.gift_rules import GiftParts, Order
from control_api.services.gift_till import GiftTill
from control_api.services.playback import PlaybackAccess
from storage.errors import DatabaseUnavailable
from storage.ids import new_id
from storage.repositories.gift_orders import GiftOrders
from storage.repositories.ledger import Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind
from tests.control_api.money_world import NO_BONUS, ROSE, live_room, money_world

SENDERS = 6


class Crowd:
    """Many who give in one room, with 100 coins each."""

    def __init__(self, world, people):
        self.world, self.people, self.money = world, people, world.money
        self.till = self.new_till()

    def new_till(self) -> GiftTill:
        money = self.money
        return GiftTill(
            self.world.database,
            GiftParts(
                money.accounts, money.wallets, PlaybackAccess(self.world.database), money.media, NO_BONUS
            ),
        )

    def order(self, sender: int, quantity: int = 1, **fields) -> Order:
        made = Order(self.people[sender].id, self.world.room_id, str(new_id()), ROSE, quantity)
        return replace(made, **fields)

    async def pay(self, *orders: Order):
        """Ids of what was given, codes of what was refused."""
        results = await asyncio.gather(*map(self.till.pay, orders), return_exceptions=True)
        return [_told(result) for result in results]

    async def coins(self) -> list[int]:
        return [await self.money.coins(person) for person in self.people]


def _told(result):
    if isinstance(result, ApiError):
        return result.code
    return type(result).__name__ if isinstance(result, BaseException) else result.given.id


@pytest.fixture
async def crowd(database, aiohttp_client):
    world = await money_world(database, aiohttp_client, NO_BONUS)
    people = []
    for number in range(SENDERS):
        name = f"sender_{number}"
        world.people[name] = await world.money.person(name)
        await world.endow(name, 100)
        people.append(world.people[name])
    return Crowd(world, people)


async def test_what_comes_at_once_is_paid_together(crowd, monkeypatch):
    batches = []
    pay = GiftOrders.pay

    async def noted(self, payments, platform):
        batches.append(len(payments))
        return await pay(self, payments, platform)

    monkeypatch.setattr(GiftOrders, "pay", noted)
    given = await crowd.pay(*(crowd.order(sender) for sender in range(SENDERS)))
    assert len(set(given)) == SENDERS
    assert batches == [SENDERS]
    assert await crowd.coins() == [90] * SENDERS
    assert await crowd.money.earnings(crowd.world.people["alice"]) == 7 * SENDERS
    assert await crowd.money.is_right()


async def test_each_of_a_batch_is_refused_for_itself(crowd):
    private = await live_room(crowd.money, crowd.world.people["admin"])
    crowd.money.media.viewers.pop(private)
    told = await crowd.pay(
        crowd.order(0),
        crowd.order(1, quantity=11),
        crowd.order(2, gift_id=new_id()),
        crowd.order(3, room_id=new_id()),
        crowd.order(4, room_id=private),
        crowd.order(5),
    )
    assert told[1:5] == ["insufficient_coins", "gift_not_found", "room_not_found", "room_not_live"]
    assert await crowd.coins() == [90, 100, 100, 100, 100, 90]


async def test_nobody_is_refused_for_what_another_cannot_pay(crowd, monkeypatch):
    """The coins were spent elsewhere after they had been counted here."""
    facts = GiftOrders.facts

    async def outdated(self, asked, currency):
        return [replace(each, coins=10_000) for each in await facts(self, asked, currency)]

    monkeypatch.setattr(GiftOrders, "facts", outdated)
    orders = [crowd.order(sender, quantity=11 if sender == 4 else 1) for sender in range(SENDERS)]
    told = await crowd.pay(*orders)
    assert told[4] == "insufficient_coins"
    assert len(set(told)) == SENDERS
    assert await crowd.coins() == [90, 90, 90, 90, 100, 90]
    assert await crowd.money.is_right()


async def test_two_nodes_pay_one_key_once(crowd):
    order, other = crowd.order(0), crowd.new_till()
    for _ in range(5):
        order = crowd.order(0)
        first, second = await asyncio.gather(crowd.till.pay(order), other.pay(order))
        assert first.given == second.given
        assert {first.is_replay, second.is_replay} == {False, True}
    assert (await crowd.coins())[0] == 50
    assert await crowd.money.is_right()


async def test_two_nodes_and_one_key_for_two_gifts(crowd):
    other, key = crowd.new_till(), str(new_id())
    results = await asyncio.gather(
        crowd.till.pay(crowd.order(0, 1, key=key)),
        other.pay(crowd.order(0, 2, key=key)),
        return_exceptions=True,
    )
    told = [_told(result) for result in results]
    assert told.count("idempotency_key_reused") == 1
    assert (await crowd.coins())[0] in (90, 80)


async def test_two_nodes_spend_the_last_coins_once(crowd):
    other = crowd.new_till()
    tills = [crowd.till, other] * 5
    orders = [crowd.order(number % SENDERS, quantity=10) for number in range(len(tills))]
    await asyncio.gather(
        *(till.pay(o) for till, o in zip(tills, orders, strict=True)), return_exceptions=True
    )
    assert await crowd.coins() == [0] * SENDERS
    assert await crowd.money.is_right()


async def test_one_who_gives_quickly_is_served_in_order(crowd):
    paid = await asyncio.gather(*(crowd.till.pay(crowd.order(0)) for _ in range(5)))
    assert [each.given.combo for each in paid] == [1, 2, 3, 4, 5]
    assert [each.wallet.coins for each in paid] == [90, 80, 70, 60, 50]


async def test_who_gives_much_does_not_keep_others_waiting(crowd, monkeypatch):
    monkeypatch.setattr(gift_till, "BATCH", 2)
    finished = []

    async def pay(order: Order) -> None:
        await crowd.till.pay(order)
        finished.append(order.sender_id)

    await asyncio.gather(*(pay(crowd.order(0)) for _ in range(5)), pay(crowd.order(1)), pay(crowd.order(2)))
    assert set(finished[:3]) == {person.id for person in crowd.people[:3]}


async def test_who_has_gone_before_paying_does_not_pay(crowd):
    waiting = [asyncio.create_task(crowd.till.pay(crowd.order(sender))) for sender in (0, 1)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await crowd.coins() == [100, 90, 100, 100, 100, 100]


async def test_no_more_wait_than_may(crowd, monkeypatch):
    monkeypatch.setattr(gift_till, "MAX_WAITING", 2)
    told = await crowd.pay(*(crowd.order(sender) for sender in range(4)))
    assert told[2:] == ["unavailable", "unavailable"]
    assert await crowd.coins() == [90, 90, 100, 100, 100, 100]


async def test_an_outage_is_told_to_all_and_ends(crowd, monkeypatch):
    """Whether it was paid nobody knows; asking again tells."""
    pay = GiftOrders.pay

    async def lost(self, payments, platform):
        await pay(self, payments, platform)
        raise DatabaseUnavailable("lost before the answer")

    monkeypatch.setattr(GiftOrders, "pay", lost)
    orders = [crowd.order(sender) for sender in range(3)]
    assert await crowd.pay(*orders) == ["DatabaseUnavailable"] * 3
    monkeypatch.setattr(GiftOrders, "pay", pay)
    assert len(set(await crowd.pay(*orders))) == 3
    assert await crowd.coins() == [90, 90, 90, 100, 100, 100]


async def test_a_fault_of_ours_does_not_close_the_till(crowd, monkeypatch):
    facts = GiftOrders.facts

    async def broken(self, asked, currency):
        raise RuntimeError("a defect")

    monkeypatch.setattr(GiftOrders, "facts", broken)
    assert await crowd.pay(crowd.order(0)) == ["RuntimeError"]
    monkeypatch.setattr(GiftOrders, "facts", facts)
    await crowd.pay(crowd.order(0))
    assert (await crowd.coins())[0] == 90


async def test_creators_who_give_each_other_on_two_nodes_do_not_stop_each_other(crowd):
    """While their earnings are paid out; each order of locks would be another deadlock."""
    money, tills = crowd.money, [crowd.till, crowd.new_till()]
    rooms = [await live_room(money, person) for person in crowd.people]
    orders = [
        crowd.order(sender, room_id=rooms[(sender + step) % SENDERS])
        for step in range(1, SENDERS)
        for sender in range(SENDERS)
    ]
    payouts, earnings = await payout_accounts(crowd)

    async def pay_out(account: int) -> None:
        lines = Line(account, -1), Line(payouts, 1)
        await Ledger(crowd.world.database).post(
            NewTransfer(TransferKind.PAYOUT, "test", str(new_id()), "", lines)
        )

    for till in tills:
        await till.pay(crowd.order(0, room_id=rooms[1]))
    giving = [tills[number % 2].pay(order) for number, order in enumerate(orders)]
    results = await asyncio.gather(
        *giving, *(pay_out(earnings[1]) for _ in range(10)), return_exceptions=True
    )
    assert [each for each in results if isinstance(each, BaseException)] == []
    assert sum(await crowd.coins()) == SENDERS * 100 - 10 * (len(orders) + 2)
    assert await money.is_right()


async def payout_accounts(crowd) -> tuple[int, list[int]]:
    people = [Account(AccountKind.EARNINGS, "usd", person.id) for person in crowd.people]
    payouts, *earnings = await crowd.money.accounts.ids([Account(AccountKind.PAYOUTS, "usd"), *people])
    return payouts, earnings
