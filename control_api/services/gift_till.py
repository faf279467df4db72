"""Where gifts and tips are paid: those that wait are checked and paid together, one of each sender at a time.

A batch costs PostgreSQL little more than a single gift: one statement reads all that decides, one pays, one
reads the wallets. Each gift is a transfer of its own all the same, and when a batch is refused for one of
them, its halves are tried by themselves: nobody is refused for what somebody else cannot pay.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias
from uuid import UUID

from control_api.errors import ApiError, conflict, unavailable
from control_api.services.gift_rules import GiftParts, GiftRules, Order, given_before
from control_api.services.money import insufficient_coins
from control_api.services.wallet import WalletBalance
from storage.database import Database
from storage.errors import Conflict, InvalidValue
from storage.repositories.gift_orders import GiftOrders, GivenOnce, Payment
from storage.repositories.ledger import NO_OVERDRAFT

BATCH: Final = 100
GATHER_SECONDS: Final = 0.01
"""Orders that come so close together are paid together."""
MAX_WAITING: Final = 10_000
PAY_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Paid:
    """What was given, and what is left. ``is_replay``: it had been given before."""

    given: GivenOnce
    wallet: WalletBalance
    is_replay: bool


@dataclass(frozen=True, slots=True)
class _Settled:
    given: GivenOnce
    is_replay: bool


_Outcome: TypeAlias = _Settled | BaseException
_Waiting: TypeAlias = tuple[Order, "asyncio.Future[Paid]"]


class GiftTill:
    def __init__(self, database: Database, parts: GiftParts) -> None:
        self._orders = GiftOrders(database)
        self._rules = GiftRules(database, parts)
        self._parts = parts
        self._queues: dict[UUID, deque[_Waiting]] = {}
        self._count = 0
        self._work: asyncio.Task[None] | None = None

    async def pay(self, order: Order) -> Paid:
        """Raises ApiError: 402 ``insufficient_coins``, 403, 404, 409, 422, 503."""
        if self._count >= MAX_WAITING:
            raise unavailable()
        future: asyncio.Future[Paid] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(order.sender_id, deque()).append((order, future))
        self._count += 1
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._serve())
        async with asyncio.timeout(PAY_SECONDS):
            return await future

    async def _serve(self) -> None:
        """Until nobody waits."""
        try:
            while self._count:
                await asyncio.sleep(GATHER_SECONDS)
                await self._answer(self._next_batch())
        finally:
            for queue in self._queues.values():
                for _, future in queue:
                    future.cancel()
            self._queues.clear()
            self._count = 0

    def _next_batch(self) -> list[_Waiting]:
        """One order of each sender, of those first who wait longest."""
        batch = []
        for sender_id in list(islice(self._queues, BATCH)):
            queue = self._queues.pop(sender_id)
            batch.append(queue.popleft())
            if queue:
                self._queues[sender_id] = queue
        self._count -= len(batch)
        # Who has gone meanwhile is not made to pay.
        return [(order, future) for order, future in batch if not future.done()]

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        orders = [order for order, _ in batch]
        try:
            outcomes = await self._settle(orders) if orders else []
            results = await self._with_wallets(orders, outcomes)
        except Exception as error:
            results = [error for _ in orders]
        except BaseException:
            for _, future in batch:
                future.cancel()
            raise
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

    async def _with_wallets(
        self, orders: Sequence[Order], outcomes: Sequence[_Outcome]
    ) -> list[Paid | BaseException]:
        senders = [
            order.sender_id
            for order, outcome in zip(orders, outcomes, strict=True)
            if isinstance(outcome, _Settled)
        ]
        wallets = await self._parts.wallets.of_many(senders) if senders else {}
        return [
            Paid(outcome.given, wallets[order.sender_id], outcome.is_replay)
            if isinstance(outcome, _Settled)
            else outcome
            for order, outcome in zip(orders, outcomes, strict=True)
        ]

    async def _settle(self, orders: Sequence[Order]) -> list[_Outcome]:
        """What becomes of each, in the same order."""
        prepared = await self._prepare(orders)
        outcomes: list[_Outcome] = []
        payments: list[Payment] = []
        places: list[int] = []
        for place, each in enumerate(prepared):
            if isinstance(each, Payment):
                payments.append(each)
                places.append(place)
                outcomes.append(in_progress())
            else:
                outcomes.append(_Settled(each, True) if isinstance(each, GivenOnce) else each)
        if payments:
            paid = await self._pay([orders[place] for place in places], payments)
            for place, outcome in zip(places, paid, strict=True):
                outcomes[place] = outcome
        return outcomes

    async def _prepare(self, orders: Sequence[Order]) -> list[Payment | GivenOnce | BaseException]:
        facts = await self._orders.facts([order.asked for order in orders], self._parts.options.currency)
        return await asyncio.gather(
            *(self._rules.prepare(*each) for each in zip(orders, facts, strict=True)), return_exceptions=True
        )

    async def _pay(self, orders: Sequence[Order], payments: Sequence[Payment]) -> list[_Outcome]:
        try:
            given = await self._orders.pay(payments, await self._rules.platform())
        except (Conflict, InvalidValue) as error:
            if len(orders) == 1:
                return [_explained(error)]
            half = len(orders) // 2
            return [*await self._settle(orders[:half]), *await self._settle(orders[half:])]
        self._parts.on_given()
        return [
            _Settled(each, False) if each is not None else await self._paid_elsewhere(order)
            for order, each in zip(orders, given, strict=True)
        ]

    async def _paid_elsewhere(self, order: Order) -> _Outcome:
        """Another node was faster with the same key."""
        (facts,) = await self._orders.facts([order.asked], self._parts.options.currency)
        try:
            given = given_before(order, facts)
        except ApiError as error:
            return error
        return _Settled(given, True) if given is not None else in_progress()


def _explained(error: Conflict | InvalidValue) -> Exception:
    if isinstance(error, InvalidValue) and error.constraint == NO_OVERDRAFT:
        return insufficient_coins()
    return error


def in_progress() -> ApiError:
    return conflict("request_in_progress", "The same request is being worked on; ask again shortly.")
