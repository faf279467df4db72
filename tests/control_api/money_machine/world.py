"""The people, the services and the providers that the machine plays with, and what the database holds."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from control_api.errors import unavailable
from control_api.payments.demo_checkout import DemoCheckout
from control_api.payments.payout_ports import TransferOrder, TransferRefused
from control_api.payments.ports import CheckoutOrder, CheckoutSession
from control_api.services.discounts import DiscountsService
from control_api.services.money import MoneyOptions
from control_api.services.notifications import Notifications
from control_api.services.payout_settings import SettingsChange
from control_api.services.plans import PlanOffer
from control_api.services.purchase_events import PurchaseEvents
from control_api.services.purchase_keeping import PurchaseKeeper
from control_api.services.purchases import PurchasesService
from storage.database import Database
from storage.ids import new_id
from storage.repositories import User, Users
from storage.repositories.discounts import DiscountKind, NewDiscount
from storage.repositories.ledger_accounts import AccountKind
from storage.repositories.payouts import Onboarding, Payout, PayoutAccounts, Payouts, Schedule
from storage.repositories.plans import Plan
from storage.repositories.purchases import PurchaseState
from tests.control_api.money_machine.model import COIN_VALUE, MINIMUM_PAYOUT, WELCOME_COINS
from tests.control_api.money_machine.model_payouts import Model
from tests.control_api.money_machine.model_purchases import BONUS_COINS, MAX_USES
from tests.control_api.money_machine.model_subscriptions import PRICE
from tests.control_api.money_world import Money, live_room
from tests.control_api.payouts_world import LONG_AGO, FakePayouts, Paying
from tests.control_api.purchases_world import Letters
from tests.control_api.subscriptions_world import SECRET, Billing

CREATORS = 2
PEOPLE = 4
"""The creators come first. They have rooms, plans and bank accounts, and buy and give as anybody does."""
NODES = 2
MANY = 1000
PATIENCE_SECONDS = 60
PERCENT, OTHER_PERCENT = 70, 55
SHARES = (PERCENT, OTHER_PERCENT, PERCENT, PERCENT)
OPTIONS = MoneyOptions(creator_percent=PERCENT, coin_value=COIN_VALUE, welcome_coins=WELCOME_COINS)
LEASE = timedelta(hours=1)
"""No attempt is followed by another until time passes, which is one of the rules."""


class FaultyCheckout(DemoCheckout):
    """``fault``: the next page is not opened (before), or it is and nobody learns (after)."""

    fault: str | None = None

    def __init__(self) -> None:
        super().__init__(SECRET, str)
        self.opened: list[UUID] = []

    async def open_checkout(self, order: CheckoutOrder) -> CheckoutSession:
        fault, self.fault = self.fault, None
        if fault == "before":
            raise unavailable("no answer")
        session = await super().open_checkout(order)
        self.opened.append(order.purchase_id)
        if fault == "after":
            raise unavailable("no answer")
        return session


@dataclass
class FaultyPayouts(FakePayouts):
    """``fault`` is met by each transfer: what, and whether before or after it is done."""

    fault: tuple[str, str] | None = None
    differing: list[TransferOrder] = field(default_factory=list)

    async def transfer(self, order: TransferOrder) -> str:
        self._fail("before")
        await asyncio.sleep(0)
        if self.transfers.setdefault(order.payout_id, order) != order:
            self.differing.append(order)
        self._fail("after")
        return f"tr_{order.payout_id.hex}"

    def _fail(self, moment: str) -> None:
        if self.fault is None or self.fault[1] != moment:
            return
        if self.fault[0] == "refused" and moment == "before":
            raise TransferRefused("no")
        raise TimeoutError if self.fault[0] == "hangs" else unavailable("busy")


@dataclass
class Observed:
    """What the database holds of this world."""

    accounts: Counter[tuple[int | None, AccountKind, str]]
    transfers: Counter[str]
    payouts: dict[int, list[Payout]]
    code_uses: int
    told: set[str]
    purchases: dict[str, PurchaseState]

    def differences(self, model: Model) -> list[str]:
        found = []
        for what in ("accounts", "transfers", "code_uses", "told"):
            expected, seen = getattr(model, what), getattr(self, what)
            if isinstance(seen, Counter):
                keys = {key for key in (*expected, *seen) if expected[key] != seen[key]}
                found += [f"{what} {key}: {expected[key]} expected, not {seen[key]}" for key in keys]
            elif expected != seen:
                found.append(f"{what}: {expected} expected, not {seen}")
        return found


class World:
    """All services on one database, and those that run on each node twice."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.nodes = [Money(database, OPTIONS) for _ in range(NODES)]
        self.money = self.nodes[0]
        self.checkout, self.provider = FaultyCheckout(), FaultyPayouts()
        self.paying = [Paying(database, self.provider, OPTIONS, MINIMUM_PAYOUT, LEASE) for _ in range(NODES)]
        self.billing = Billing(database, OPTIONS)
        self.billing.events.add(PurchaseEvents(self.checkout.scope).handlers())
        self.billing.events.add(self.paying[0].sending.handlers())
        self.purchases = PurchasesService(database, self.money.accounts, self.checkout)
        self.letters = Letters()
        notifications = Notifications(database, self.money.bus)
        self.keeper = PurchaseKeeper(database, self.letters, notifications, "")
        self.people: list[User] = []
        self.rooms: list[UUID] = []
        self.plans: list[Plan] = []
        self._before = Observed(Counter(), Counter(), {}, 0, set(), {})
        self.code = f"C-{new_id().hex[-16:].upper()}"

    async def populate(self) -> None:
        # The database is that of the worlds before, too: theirs are not due, nor is what they left unsent
        # when Hypothesis broke off their steps.
        await self.database.execute("UPDATE payout_settings SET due_at = now() + interval '1 year'")
        await self.database.execute(
            "UPDATE payouts SET attempt_at = now() + interval '1 year' WHERE state = 'pending'"
        )
        self.admin = await self._person()
        self.people = [await self._person() for _ in range(PEOPLE)]
        for creator in self.people[:CREATORS]:
            await self._make_creator(creator)
        await self.database.execute(
            "INSERT INTO creator_shares (user_id, percent) VALUES ($1, $2)", self.people[1].id, OTHER_PERCENT
        )
        discounts = DiscountsService(self.database, self.money.accounts, self.money.wallets)
        new = NewDiscount(self.code, DiscountKind.BONUS_COINS, 0, BONUS_COINS, MAX_USES, None, None, None)
        await discounts.add(self.admin.id, "", new)
        self._before = await self.observed(set())

    async def _person(self) -> User:
        return await self.money.person(f"u_{new_id().hex[-20:]}")

    async def _make_creator(self, creator: User) -> None:
        await Users(self.database).set_creator(creator.id, True)
        room = await live_room(self.money, creator)
        self.rooms.append(room)
        for node in self.nodes[1:]:
            node.media.viewers[room] = 1
        self.plans.append(await self.billing.plans.create(creator.id, PlanOffer("Plan", "", PRICE, None)))
        accounts = PayoutAccounts(self.database, self.provider.name)
        account = await accounts.add(creator.id, f"acct_{creator.id.hex}")
        await accounts.set_state(account, Onboarding.ACTIVE, "", datetime.now(UTC))
        await self.paying[0].settings.change(creator.id, SettingsChange(Schedule.WEEKLY, None, None))

    async def be_due(self, creator: int) -> None:
        sql = "UPDATE payout_settings SET due_at = $2 WHERE user_id = $1"
        await self.database.execute(sql, self.people[creator].id, LONG_AGO)

    async def let_time_pass(self) -> None:
        """Until attempts that had no end may be made again."""
        await self.database.execute(
            """UPDATE payouts SET attempt_at = now() - interval '1 second', lease_until = now()
               WHERE state = 'pending' AND user_id = ANY ($1::uuid[])""",
            [person.id for person in self.people],
        )

    async def work(self, node: int = 0) -> None:
        """As soon as nobody leads: who lost the database may seem to for a while."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            # PostgreSQL frees the lock, and tells nobody.
            while await self.paying[node].job.work_once() is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def observed(self, event_ids: set[str]) -> Observed:
        """Of the server's own accounts and of transfers, what was added since the world began."""
        accounts, transfers = await self._accounts(), await self._transfers()
        accounts.subtract(self._before.accounts)
        transfers.subtract(self._before.transfers)
        sql = "SELECT uses FROM discount_codes WHERE code = $1"
        uses = await self.database.fetch_value(sql, self.code)
        told = await self.database.fetch(
            "SELECT id FROM payment_events WHERE id = ANY ($1::text[])", list(event_ids)
        )
        payouts, purchases = await self._payouts(), await self._purchases()
        return Observed(accounts, transfers, payouts, uses, {row["id"] for row in told}, purchases)

    async def _accounts(self) -> Counter[tuple[int | None, AccountKind, str]]:
        numbers: dict[UUID | None, int | None] = {
            person.id: number for number, person in enumerate(self.people)
        }
        numbers[None] = None
        rows = await self.database.fetch(
            """SELECT owner_id, kind, currency, sum(balance)::bigint AS balance
               FROM ledger_accounts JOIN ledger_balances ON account_id = ledger_accounts.id
               WHERE owner_id IS NULL OR owner_id = ANY ($1::uuid[]) GROUP BY 1, 2, 3""",
            [person.id for person in self.people],
        )
        return Counter(
            {(numbers[row[0]], AccountKind(row["kind"]), row["currency"]): row["balance"] for row in rows}
        )

    async def _transfers(self) -> Counter[str]:
        rows = await self.database.fetch("SELECT kind, count(*) FROM ledger_transfers GROUP BY kind")
        return Counter(dict(map(tuple, rows)))

    async def _purchases(self) -> dict[str, PurchaseState]:
        rows = await self.database.fetch(
            "SELECT id, state FROM purchases WHERE user_id = ANY ($1::uuid[])",
            [person.id for person in self.people],
        )
        return {str(row["id"]): PurchaseState(row["state"]) for row in rows}

    async def _payouts(self) -> dict[int, list[Payout]]:
        """The oldest first."""
        found = {}
        for number, person in enumerate(self.people[:CREATORS]):
            newest = await Payouts(self.database).of_user(person.id, None, MANY)
            found[number] = sorted(newest, key=lambda payout: payout.id)
        return found
