"""The proof that the ledger is right: everything is computed anew from the entries, at one moment.

It reads the whole ledger, on a connection of its own and without a timeout, and locks nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from storage.database import Database, Transaction, translated_errors
from storage.purchase_checks import PURCHASE_CHECKS
from storage.subscription_checks import SUBSCRIPTION_CHECKS

MAX_DIFFERENCES: Final = 1000

CHECKS: Final[Mapping[str, str]] = {
    "transfer does not sum to zero": """
        SELECT transfer_id || ' ' || currency AS subject, 0 AS expected, sum(amount) AS found
        FROM ledger_entries GROUP BY transfer_id, currency HAVING sum(amount) <> 0""",
    "transfer without entries": """
        SELECT id::text AS subject, 1 AS expected, 0 AS found FROM ledger_transfers AS transfer
        WHERE NOT EXISTS (SELECT FROM ledger_entries WHERE transfer_id = transfer.id)""",
    "balance is not its history": """
        SELECT account_id || '.' || shard AS subject,
               coalesce(entry.amount, 0) AS expected, coalesce(held.balance, 0) AS found
        FROM (SELECT account_id, shard, sum(amount) AS amount FROM ledger_entries
              GROUP BY account_id, shard) AS entry
        FULL JOIN ledger_balances AS held USING (account_id, shard)
        WHERE coalesce(entry.amount, 0) <> coalesce(held.balance, 0)""",
    "balance out of bounds": """
        SELECT account_id || '.' || shard AS subject, 0 AS expected, balance AS found
        FROM ledger_balances JOIN ledger_accounts ON ledger_accounts.id = account_id
        WHERE ledger_balances.bounds <> ledger_accounts.bounds
           OR (ledger_accounts.bounds = 'credit' AND balance < 0)
           OR (ledger_accounts.bounds = 'debit' AND balance > 0)""",
    "entry in another currency than its account": """
        SELECT transfer_id || '.' || place AS subject, 0 AS expected, amount AS found
        FROM ledger_entries LEFT JOIN ledger_accounts ON ledger_accounts.id = account_id
        WHERE ledger_accounts.currency IS DISTINCT FROM ledger_entries.currency""",
    "gift is not what was paid": """
        SELECT gift.id::text AS subject, gift.coins AS expected, coalesce(-paid.amount, 0) AS found
        FROM gift_transactions AS gift LEFT JOIN LATERAL (
            SELECT sum(entry.amount) AS amount FROM ledger_entries AS entry
            JOIN ledger_accounts AS account ON account.id = entry.account_id
            WHERE entry.transfer_id = gift.id AND account.kind = 'wallet' AND account.currency = 'coin'
              AND account.owner_id = gift.sender_id) AS paid ON true
        WHERE gift.coins <> coalesce(-paid.amount, 0)""",
    "gift is not what was earned": """
        SELECT gift.id::text AS subject, gift.earned AS expected, coalesce(got.amount, 0) AS found
        FROM gift_transactions AS gift LEFT JOIN LATERAL (
            SELECT sum(entry.amount) AS amount FROM ledger_entries AS entry
            JOIN ledger_accounts AS account ON account.id = entry.account_id
            WHERE entry.transfer_id = gift.id AND account.kind = 'earnings'
              AND account.currency = gift.currency AND account.owner_id = gift.receiver_id) AS got ON true
        WHERE gift.earned <> coalesce(got.amount, 0)""",
    "paid for a gift that is not there": """
        SELECT transfer.id::text AS subject, 1 AS expected, 0 AS found FROM ledger_transfers AS transfer
        WHERE kind IN ('gift', 'tip')
          AND NOT EXISTS (SELECT FROM gift_transactions AS gift WHERE gift.id = transfer.id)""",
    "payout is not what was taken from the earnings": """
        SELECT coalesce(payout.id::text, moved.id) AS subject,
               coalesce(payout.gone, 0) AS expected, coalesce(-moved.amount, 0) AS found
        FROM (SELECT id, CASE state WHEN 'failed' THEN 0 ELSE amount - returned END AS gone
              FROM payouts) AS payout
        FULL JOIN (SELECT split_part(transfer.key, ':', 1) AS id, sum(entry.amount) AS amount
                   FROM ledger_transfers AS transfer
                   JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
                   JOIN ledger_accounts AS account ON account.id = entry.account_id
                   WHERE transfer.scope = 'payout' AND transfer.kind <> 'repayment'
                     AND account.kind IN ('earnings', 'debt') GROUP BY 1) AS moved
                  ON moved.id = payout.id::text
        WHERE coalesce(payout.gone, 0) <> coalesce(-moved.amount, 0)""",
    "payout on its way is not what was set aside": """
        SELECT coalesce(payout.id::text, moved.id) AS subject,
               coalesce(payout.pending, 0) AS expected, coalesce(moved.amount, 0) AS found
        FROM (SELECT id, CASE state WHEN 'pending' THEN amount ELSE 0 END AS pending
              FROM payouts) AS payout
        FULL JOIN (SELECT split_part(transfer.key, ':', 1) AS id, sum(entry.amount) AS amount
                   FROM ledger_transfers AS transfer
                   JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
                   JOIN ledger_accounts AS account ON account.id = entry.account_id
                   WHERE transfer.scope = 'payout' AND account.kind = 'pending_payout'
                   GROUP BY 1) AS moved ON moved.id = payout.id::text
        WHERE coalesce(payout.pending, 0) <> coalesce(moved.amount, 0)""",
}
"""Each finds what is wrong: nothing, as long as all is well."""
ALL_CHECKS: Final[Mapping[str, str]] = {**CHECKS, **PURCHASE_CHECKS, **SUBSCRIPTION_CHECKS}


@dataclass(frozen=True, slots=True)
class Difference:
    """``subject`` is a transfer, an account and its shard, or what a check is about."""

    what: str
    subject: str
    expected: int
    found: int


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """How much was looked at, and what is wrong: at most MAX_DIFFERENCES of each kind."""

    accounts: int
    transfers: int
    entries: int
    differences: tuple[Difference, ...]


async def reconcile(database: Database) -> Reconciliation:
    """Raises DatabaseUnavailable."""
    async with database.dedicated_connection() as connection:
        with translated_errors():
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await _look(Transaction(connection))


async def _look(transaction: Transaction) -> Reconciliation:
    counts = await transaction.fetch_row(
        """SELECT (SELECT count(*) FROM ledger_accounts), (SELECT count(*) FROM ledger_transfers),
                  (SELECT count(*) FROM ledger_entries)"""
    )
    assert counts is not None
    differences = [
        Difference(what, row["subject"], int(row["expected"]), int(row["found"]))
        for what, sql in ALL_CHECKS.items()
        for row in await transaction.fetch(f"{sql} LIMIT {MAX_DIFFERENCES}")
    ]
    accounts, transfers, entries = counts
    return Reconciliation(accounts, transfers, entries, tuple(differences))
