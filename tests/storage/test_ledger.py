"""What the database holds the ledger to, whoever writes into it."""

import asyncio
import json

import asyncpg
import pytest

from storage.database import Database
from storage.errors import Conflict, InvalidValue
from storage.ids import new_id
from storage.reconciliation import CHECKS, reconcile
from storage.repositories import Users
from storage.repositories.account_data import AccountData
from storage.repositories.ledger import (
    NO_OVERDRAFT,
    ONCE,
    POST,
    Ledger,
    Line,
    NewTransfer,
    TransferKind,
    post_arguments,
)
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts

SHARDS = 16


class Book:
    """Alice's wallet and earnings, the platform, and the hand of an administrator."""

    def __init__(self, database: Database) -> None:
        self.database, self.ledger = database, Ledger(database)

    async def open(self) -> "Book":
        self.alice = (await Users(self.database).add("alice", "a@example.com", "hash")).id
        kinds = [
            Account(AccountKind.WALLET, "coin", self.alice),
            Account(AccountKind.ADJUSTMENT, "coin"),
            Account(AccountKind.EARNINGS, "usd", self.alice),
            Account(AccountKind.PLATFORM, "usd"),
            Account(AccountKind.DEBT, "coin", self.alice),
        ]
        ids = await LedgerAccounts(self.database).ids(kinds)
        self.wallet, self.hand, self.earnings, self.platform, self.debt = ids
        return self

    async def move(self, source: int, target: int, amount: int, key: str | None = None) -> None:
        lines = (Line(source, -amount), Line(target, amount))
        await self.ledger.post(_transfer(*lines, key=key))

    async def balance(self, account: int) -> int:
        found: int = await self.database.fetch_value(
            "SELECT sum(balance)::bigint FROM ledger_balances WHERE account_id = $1", account
        )
        return found

    async def is_right(self) -> bool:
        return (await reconcile(self.database)).differences == ()


def _transfer(*lines: Line, key: str | None = None) -> NewTransfer:
    return NewTransfer(TransferKind.ADJUSTMENT, "test", key or str(new_id()), "", lines)


def _both(book: Book, amount: int) -> list[Line]:
    """Into the wallet and the earnings by one transfer."""
    wallet = Line(book.hand, -amount), Line(book.wallet, amount)
    return [*wallet, Line(book.platform, -amount), Line(book.earnings, amount)]


@pytest.fixture
async def book(database):
    return await Book(database).open()


async def test_what_one_account_loses_another_gets(book):
    await book.move(book.hand, book.wallet, 30)
    await book.move(book.wallet, book.hand, 12)
    assert (await book.balance(book.wallet), await book.balance(book.hand)) == (18, -18)
    holdings = await book.ledger.holdings(book.alice)
    assert {(each.kind, each.balance) for each in holdings if each.balance} == {(AccountKind.WALLET, 18)}
    assert await book.is_right()


@pytest.mark.parametrize(
    ("amounts", "constraint"),
    [
        ((5, -4), "ledger_entries_sum_zero"),
        ((5,), "ledger_entries_sum_zero"),
        ((0, 0), "ledger_entries_amount_valid"),
        ((10**15 + 1, -(10**15) - 1), "ledger_entries_amount_valid"),
        ((-1, 1), NO_OVERDRAFT),
    ],
)
async def test_what_is_no_transfer_is_refused_and_leaves_nothing(book, amounts, constraint):
    lines = [
        Line(account, amount) for account, amount in zip((book.wallet, book.hand), amounts, strict=False)
    ]
    with pytest.raises(InvalidValue) as caught:
        await book.ledger.post(_transfer(*lines))
    assert caught.value.constraint == constraint
    assert await book.database.fetch_value("SELECT count(*) FROM ledger_transfers") == 0
    assert await book.is_right()


async def test_currencies_do_not_mix(book):
    await book.move(book.hand, book.wallet, 5)
    with pytest.raises(InvalidValue) as caught:
        await book.move(book.wallet, book.platform, 5)
    assert caught.value.constraint == "ledger_entries_sum_zero"


async def test_an_entry_is_in_its_accounts_currency(book):
    with pytest.raises(InvalidValue) as caught:
        await _write(book, [(book.hand, 0, "usd", -5), (book.platform, 0, "usd", 5)])
    assert caught.value.constraint == "ledger_entries_account_known"


async def _write(book: Book, entries: list[tuple[int, int, str, int]]) -> None:
    async with book.database.transaction() as transaction:
        transfer_id = new_id()
        await transaction.execute(
            """INSERT INTO ledger_transfers (id, kind, scope, key, fingerprint)
               VALUES ($1, 'adjustment', 'x', $2, '')""",
            transfer_id,
            str(transfer_id),
        )
        await transaction.execute(
            """INSERT INTO ledger_entries (transfer_id, place, account_id, shard, currency, amount)
               SELECT $1, * FROM unnest($2::int[], $3::bigint[], $4::int[], $5::text[], $6::bigint[])""",
            transfer_id,
            list(range(len(entries))),
            *map(list, zip(*entries, strict=True)),
        )


@pytest.mark.parametrize("shard", [-1, 1, 16])
async def test_there_are_no_more_shards_than_an_account_has(book, shard):
    with pytest.raises(InvalidValue):
        await _write(book, [(book.hand, shard, "coin", -5), (book.wallet, 0, "coin", 5)])


async def test_an_account_that_is_not_there_gets_nothing(book):
    with pytest.raises(InvalidValue):
        await book.move(book.hand, 999_999, 5)
    with pytest.raises(InvalidValue):
        await _write(book, [(book.hand, 0, "coin", -5), (999_999, 0, "coin", 5)])


async def test_a_key_is_used_once(book):
    await book.move(book.hand, book.wallet, 5, "once")
    with pytest.raises(Conflict) as caught:
        await book.move(book.hand, book.wallet, 7, "once")
    assert caught.value.constraint == ONCE
    assert await book.balance(book.wallet) == 5
    found = await book.ledger.find("test", "once")
    assert found is not None and found.kind is TransferKind.ADJUSTMENT
    assert await book.ledger.find("other", "once") is None


async def test_a_key_that_was_refused_is_free(book):
    with pytest.raises(InvalidValue):
        await book.move(book.wallet, book.hand, 5, "again")
    await book.move(book.hand, book.wallet, 5)
    await book.move(book.wallet, book.hand, 5, "again")
    assert await book.balance(book.wallet) == 0


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE ledger_entries SET amount = amount + 1",
        "DELETE FROM ledger_entries",
        "TRUNCATE ledger_entries",
        "UPDATE ledger_transfers SET kind = 'bonus'",
        "DELETE FROM ledger_transfers",
        "TRUNCATE ledger_transfers CASCADE",
        "UPDATE ledger_balances SET balance = balance + 1",
        "DELETE FROM ledger_balances",
        "TRUNCATE ledger_balances",
        "INSERT INTO ledger_balances VALUES (1000, 0, 'any', 5)",
        "UPDATE ledger_accounts SET currency = 'gem'",
        "DELETE FROM ledger_accounts",
        "TRUNCATE ledger_accounts",
    ],
)
async def test_nothing_is_changed_or_removed(book, sql):
    await book.move(book.hand, book.wallet, 5)
    with pytest.raises(InvalidValue) as caught:
        await book.database.execute(sql)
    assert caught.value.constraint == "ledger_immutable"
    assert await book.balance(book.wallet) == 5


async def test_nothing_is_added_to_a_transfer_later(book):
    await book.move(book.hand, book.wallet, 5, "first")
    with pytest.raises(InvalidValue) as caught:
        await book.database.execute(
            """INSERT INTO ledger_entries (transfer_id, place, account_id, currency, amount)
               SELECT id, 10 + n, CASE n WHEN 0 THEN $1::bigint ELSE $2::bigint END, 'coin',
                      CASE n WHEN 0 THEN -5 ELSE 5 END
               FROM ledger_transfers, generate_series(0, 1) AS n WHERE key = 'first'""",
            book.hand,
            book.wallet,
        )
    assert caught.value.constraint == "ledger_entries_complete"


async def test_a_debt_is_never_more_than_paid(book):
    await book.move(book.debt, book.hand, 5)
    with pytest.raises(InvalidValue) as caught:
        await book.move(book.hand, book.debt, 6)
    assert caught.value.constraint == "ledger_balances_no_overpaid_debt"
    await book.move(book.hand, book.debt, 5)
    assert await book.balance(book.debt) == 0


async def test_a_balance_stays_countable(book):
    most = 10**15
    for _ in range(3):
        await book.move(book.hand, book.wallet, most)
    assert await book.balance(book.wallet) == 3 * most


async def test_what_lies_in_many_shards_is_taken_as_one(book):
    """Earnings come in by many connections at once, and go out as one payout."""
    for shard in range(SHARDS):
        await _write(book, [(book.platform, 3, "usd", -10), (book.earnings, shard, "usd", 10)])
    await book.move(book.earnings, book.platform, 10 * SHARDS - 3)
    assert await book.balance(book.earnings) == 3
    with pytest.raises(InvalidValue) as caught:
        await book.move(book.earnings, book.platform, 4)
    assert caught.value.constraint == NO_OVERDRAFT
    assert await book.is_right()


async def test_two_who_take_the_last_of_it(book):
    await book.move(book.hand, book.wallet, 10)
    taken = await asyncio.gather(
        *(book.move(book.wallet, book.hand, 10) for _ in range(5)), return_exceptions=True
    )
    assert [each for each in taken if each is None] == [None]
    assert await book.balance(book.wallet) == 0


async def test_payouts_while_earnings_come_in(book):
    """Locks are taken in one order, so nobody waits for ever."""

    async def earn() -> None:
        for _ in range(20):
            await book.move(book.platform, book.earnings, 5)

    async def pay() -> None:
        for _ in range(20):
            try:
                await book.move(book.earnings, book.platform, 7)
            except InvalidValue as error:
                assert error.constraint == NO_OVERDRAFT

    await asyncio.gather(earn(), pay(), earn(), pay())
    assert await book.balance(book.earnings) >= 0
    assert await book.is_right()


async def test_movements_are_told_page_by_page(book):
    for amount in (1, 2, 3):
        await book.move(book.hand, book.wallet, amount)
    await book.move(book.platform, book.earnings, 9)
    first = await book.ledger.movements(book.alice, None, None, 3)
    assert [(each.amount, each.currency) for each in first] == [(9, "usd"), (3, "coin"), (2, "coin")]
    rest = await book.ledger.movements(book.alice, None, (first[-1].transfer_id, first[-1].place), 3)
    assert [each.amount for each in rest] == [1]
    coins = await book.ledger.movements(book.alice, AccountKind.WALLET, None, 9)
    assert [each.amount for each in coins] == [3, 2, 1]


async def test_a_transfer_is_one_movement_however_many_shards_it_takes_from(book):
    for shard, amount in enumerate((5, 6, 7)):
        lines = [Line(book.platform, -amount), Line(book.earnings, amount)]
        arguments = post_arguments(new_id(), _transfer(*lines), lines, [None, shard])
        await book.database.execute(f"WITH {POST} SELECT 1", *arguments)
    await book.move(book.earnings, book.platform, 18)
    await book.ledger.post(_transfer(*_both(book, 4)))

    told, before = [], None
    while page := await book.ledger.movements(book.alice, None, before, 1):
        told += [(each.account, each.amount) for each in page]
        before = (page[-1].transfer_id, page[-1].place)
    earned = [(AccountKind.EARNINGS, amount) for amount in (-18, 7, 6, 5)]
    assert told == [(AccountKind.WALLET, 4), (AccountKind.EARNINGS, 4), *earned]
    wallet = json.loads((await AccountData(book.database).export(book.alice))["wallet"])
    assert [(AccountKind(each["account"]), each["amount"]) for each in wallet] == told


TAMPERING = {
    "transfer does not sum to zero": "UPDATE ledger_entries SET amount = amount + 1 WHERE place = 1",
    "transfer without entries": "DELETE FROM ledger_entries",
    "balance is not its history": "UPDATE ledger_balances SET balance = balance - 1 WHERE balance < 0",
    "balance out of bounds": "UPDATE ledger_balances SET bounds = 'any'",
    "entry in another currency than its account": "UPDATE ledger_entries SET currency = 'gem'",
    "paid for a gift that is not there": "UPDATE ledger_transfers SET kind = 'gift'",
    "gift is not what was paid": """INSERT INTO gift_transactions
        SELECT id, id, id, gen_random_uuid(), NULL, '', 1, 5, 0, 'usd', 1 FROM ledger_transfers""",
    "gift is not what was earned": """INSERT INTO gift_transactions
        SELECT id, id, id, gen_random_uuid(), NULL, '', 1, 5, 3, 'usd', 1 FROM ledger_transfers""",
    "payout is not what was taken from the earnings": """
        INSERT INTO payouts (id, user_id, currency, amount, state, trigger, provider, account, reference,
                             finished_at)
        SELECT id, id, 'usd', 5, 'paid', 'demand', 'demo', 'x', 'x', now() FROM ledger_transfers""",
    "payout on its way is not what was set aside": """
        INSERT INTO payouts (id, user_id, currency, amount, trigger, provider, account)
        SELECT id, id, 'usd', 5, 'demand', 'demo', 'x' FROM ledger_transfers""",
}


def test_every_check_is_tried() -> None:
    assert set(TAMPERING) == set(CHECKS)


@pytest.mark.parametrize("what", TAMPERING)
async def test_a_difference_is_found(book, what, database_url):
    """Whoever has the database's own rights can get around triggers; then it shows."""
    await book.move(book.hand, book.wallet, 5)
    assert await book.is_right()
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(TAMPERING[what])
    await connection.close()
    found = await reconcile(book.database)
    assert what in {difference.what for difference in found.differences}
    assert (found.transfers, found.entries > 0) == (1, what != "transfer without entries")
