"""Gifts, tips, an administrator's hand and the welcome bonus."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from control_api.services.wallet import Adjustment
from storage.errors import DatabaseUnavailable
from storage.ids import new_id
from storage.repositories.ledger import TransferKind
from tests.control_api.money_machine.base import (
    MoneyBase,
    Operation,
    copies,
    creators,
    needs,
    numbers,
    people,
)
from tests.control_api.money_machine.lossy import losses
from tests.control_api.money_machine.model import DONE
from tests.control_api.money_machine.world import PEOPLE
from tests.control_api.money_world import ROSE, ROSE_COINS

quantities = st.integers(1, 40)
tips = st.one_of(st.integers(1, 100), st.integers(1, 1500))
ENDOWMENT = 500
adjustments = st.integers(-300, 300)


class GivingRules(MoneyBase):
    def __init__(self, database_url: str) -> None:
        super().__init__(database_url)
        self._done: list[Operation] = []
        self._keys: list[tuple[int, int, str]] = []

    @initialize()
    def begin(self) -> None:
        super().begin()
        for person in range(PEOPLE):
            self.do(self.adjusting(person, ENDOWMENT))

    @rule(sender=people, receiver=creators, quantity=quantities, copies=copies, loss=losses)
    def give(self, sender, receiver, quantity, copies, loss) -> None:
        self._do_and_keep(self.giving(sender, receiver, quantity), copies, loss)

    @rule(sender=people, receiver=creators, coins=tips, copies=copies, loss=losses)
    def tip(self, sender, receiver, coins, copies, loss) -> None:
        key = str(new_id())
        if self._do_and_keep(self.tipping(sender, receiver, coins, key), copies, loss) == DONE:
            self._keys.append((sender, receiver, key))

    @rule(person=people, coins=adjustments, copies=copies, loss=losses)
    def adjust(self, person, coins, copies, loss) -> None:
        self._do_and_keep(self.adjusting(person, coins), copies, loss)

    @rule(person=people, copies=copies, loss=losses)
    def verify(self, person, copies, loss) -> None:
        sql = "UPDATE users SET email_verified_at = now() WHERE id = $1"
        user_id = self.world.people[person].id
        self.run(self.database.execute(sql, user_id))

        async def call() -> Any:
            return await self.world.money.wallets.of(user_id)

        self.do(Operation(call, lambda model: model.welcome(person)), copies, loss)

    @rule(number=numbers)
    @needs(lambda self: self._done)
    def ask_again(self, number) -> None:
        """Long after: what was done stays done, once."""
        operation = replace(self._done[number % len(self._done)], firsts=0)
        assert self.do(operation) == DONE

    @rule(number=numbers, coins=tips)
    @needs(lambda self: self._keys)
    def ask_for_something_else(self, number, coins) -> None:
        """Under a key that was used."""
        sender, receiver, key = self._keys[number % len(self._keys)]
        self.do(self.tipping(sender, receiver, coins, key))

    @rule(loss=losses)
    def tell_of_gifts(self, loss) -> None:
        self.database.loss = loss
        with suppress(DatabaseUnavailable):
            self.run(self.world.money.news.tell_once())
        self.database.loss = None

    def giving(self, sender: int, receiver: int, quantity: int) -> Operation:
        """On each node in turn."""
        user, room, key = self.world.people[sender].id, self.world.rooms[receiver], str(new_id())
        coins = quantity * ROSE_COINS
        nodes = iter(self.world.nodes * 100)

        async def call() -> Any:
            return await next(nodes).gifts.give(user, room, key, ROSE, quantity)

        return self._paying(call, TransferKind.GIFT, key, sender, receiver, coins)

    def tipping(self, sender: int, receiver: int, coins: int, key: str | None = None) -> Operation:
        user, room, key = self.world.people[sender].id, self.world.rooms[receiver], key or str(new_id())
        nodes = iter(self.world.nodes * 100)

        async def call() -> Any:
            return await next(nodes).gifts.tip(user, room, key, coins, "")

        return self._paying(call, TransferKind.TIP, key, sender, receiver, coins)

    def adjusting(self, person: int, coins: int) -> Operation:
        actor, user, key = self.world.admin.id, self.world.people[person].id, str(new_id())

        async def call() -> Any:
            return await self.world.money.wallets.adjust(actor, "", user, key, Adjustment(coins, 0, "x"))

        return Operation(call, lambda model: model.adjust(key, person, coins))

    def _paying(
        self, call: Any, kind: TransferKind, key: str, sender: int, receiver: int, coins: int
    ) -> Operation:
        wish = f"{kind.value} {receiver} {coins}"
        return Operation(
            call,
            lambda model: model.give(kind, key, sender, receiver, coins, wish),
            identity=lambda paid: paid.given.id,
            is_first=lambda paid: not paid.is_replay,
        )

    def _do_and_keep(self, operation: Operation, copies: int, loss: Any) -> str:
        outcome = self.do(operation, copies, loss)
        if outcome == DONE:
            self._done.append(operation)
        return outcome
