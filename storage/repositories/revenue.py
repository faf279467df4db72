"""What creators earned: by time, kind and room, and as a statement of a month.

Ranges are of transfers' ids, which begin with the time in which they were made: every index has them.
"""

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final
from uuid import UUID

from storage.database import Executor
from storage.repositories.ledger import TransferKind
from storage.repositories.ledger_accounts import AccountKind

MAX_MONEY_ROOMS: Final = 100


@dataclass(frozen=True, slots=True)
class IdRange:
    """What was made from ``start`` until before ``end``."""

    start: UUID
    end: UUID

    @classmethod
    def of(cls, start: datetime, end: datetime) -> "IdRange":
        return cls(_first_id(start), _first_id(end))


@dataclass(frozen=True, slots=True)
class GiftRevenue:
    """``at`` is the start of the step."""

    at: datetime
    kind: TransferKind
    currency: str
    count: int
    coins: int
    earned: int


@dataclass(frozen=True, slots=True)
class OtherRevenue:
    """Of what is no gift. ``gross`` is what the transfers moved in all, ``earned`` the creator's part."""

    at: datetime
    kind: TransferKind
    currency: str
    count: int
    gross: int
    earned: int


@dataclass(frozen=True, slots=True)
class RoomRevenue:
    """``title`` is None of a room that is no more."""

    room_id: UUID
    title: str | None
    currency: str
    count: int
    coins: int
    earned: int


@dataclass(frozen=True, slots=True)
class StatementLine:
    kind: TransferKind
    count: int
    amount: int


@dataclass(frozen=True, slots=True)
class Statement:
    """Of the earnings in a currency: the balances before and after, and what changed them, by kind."""

    currency: str
    opening: int
    closing: int
    lines: tuple[StatementLine, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """What transfers of one kind did to accounts of one kind, of everybody, by so many ``entries``."""

    kind: TransferKind
    account: AccountKind
    currency: str
    entries: int
    added: int
    taken: int


_STEP: Final = "date_trunc($4, greatest({column}, $5) AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'"
# The database's clock and the one that ids are made by may differ: nothing falls before the range.
_GIFTS: Final = f"""
    SELECT {_STEP.format(column="created_at")} AS at, CASE WHEN gift_id IS NULL THEN 'tip' ELSE 'gift' END,
           currency, count(*), sum(coins)::bigint, sum(earned)::bigint
    FROM gift_transactions WHERE receiver_id = $1 AND id >= $2 AND id < $3
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
_OTHERS: Final = f"""
    SELECT {_STEP.format(column="transfer.created_at")} AS at, transfer.kind, account.currency,
           count(*), sum(moved.amount)::bigint, sum(entry.amount)::bigint
    FROM ledger_accounts AS account
    JOIN LATERAL (
        SELECT transfer_id, sum(amount) AS amount FROM ledger_entries
        WHERE account_id = account.id AND transfer_id >= $2 AND transfer_id < $3
        GROUP BY transfer_id) AS entry ON true
    JOIN ledger_transfers AS transfer ON transfer.id = entry.transfer_id
    JOIN LATERAL (
        SELECT sum(amount) AS amount FROM ledger_entries
        WHERE transfer_id = transfer.id AND currency = account.currency AND amount > 0) AS moved ON true
    WHERE account.owner_id = $1 AND account.kind = 'earnings'
      AND transfer.kind IN ('subscription', 'refund', 'dispute')
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""


STATEMENT: Final = """
    WITH account AS MATERIALIZED (
        SELECT id, currency FROM ledger_accounts WHERE owner_id = $1 AND kind = 'earnings'
    ), moved AS (
        SELECT account.id AS account_id, entry.transfer_id, sum(entry.amount) AS amount
        FROM account JOIN ledger_entries AS entry ON entry.account_id = account.id
        WHERE entry.transfer_id >= $2 AND entry.transfer_id < $3
        GROUP BY account.id, entry.transfer_id
    ), line AS (
        SELECT moved.account_id, transfer.kind, count(*) AS count, sum(moved.amount)::bigint AS amount
        FROM moved JOIN ledger_transfers AS transfer ON transfer.id = moved.transfer_id
        GROUP BY moved.account_id, transfer.kind
    )
    SELECT account.currency, (held.balance - coalesce(since.amount, 0))::bigint AS closing,
           line.kind, line.count, line.amount
    FROM account
    CROSS JOIN LATERAL (
        SELECT sum(balance) AS balance FROM ledger_balances WHERE account_id = account.id) AS held
    CROSS JOIN LATERAL (
        SELECT sum(amount) AS amount FROM ledger_entries
        WHERE account_id = account.id AND transfer_id >= $3) AS since
    LEFT JOIN line ON line.account_id = account.id
    ORDER BY account.currency, line.kind"""
"""Backwards from what is there now: the history before the range may be long."""


class Revenue:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def gifts(self, user_id: UUID, ids: IdRange, step: str, start: datetime) -> list[GiftRevenue]:
        """Gifts and tips by ``step``: day, week (its Monday) or month."""
        rows = await self._database.fetch(_GIFTS, user_id, ids.start, ids.end, step, start)
        return [GiftRevenue(row[0], TransferKind(row[1]), *row[2:]) for row in rows]

    async def others(self, user_id: UUID, ids: IdRange, step: str, start: datetime) -> list[OtherRevenue]:
        """Subscriptions, refunds and disputes, which are below zero."""
        rows = await self._database.fetch(_OTHERS, user_id, ids.start, ids.end, step, start)
        return [OtherRevenue(row[0], TransferKind(row[1]), *row[2:]) for row in rows]

    async def rooms(self, user_id: UUID, ids: IdRange) -> list[RoomRevenue]:
        """Gifts and tips by room, the best first; MAX_MONEY_ROOMS at most."""
        rows = await self._database.fetch(
            """SELECT room_id, rooms.title, got.currency, got.count, got.coins, got.earned
               FROM (SELECT room_id, currency, count(*) AS count, sum(coins)::bigint AS coins,
                            sum(earned)::bigint AS earned
                     FROM gift_transactions WHERE receiver_id = $1 AND id >= $2 AND id < $3
                     GROUP BY room_id, currency
                     ORDER BY sum(earned) DESC, room_id LIMIT $4) AS got
               LEFT JOIN rooms ON rooms.id = got.room_id ORDER BY got.earned DESC, room_id""",
            user_id,
            ids.start,
            ids.end,
            MAX_MONEY_ROOMS,
        )
        return [RoomRevenue(*row) for row in rows]

    async def statement(self, user_id: UUID, ids: IdRange) -> list[Statement]:
        """In each currency that the user ever had, all of one moment."""
        rows = await self._database.fetch(STATEMENT, user_id, ids.start, ids.end)
        statements = []
        for (currency, closing), own in groupby(rows, lambda row: (row["currency"], row["closing"])):
            lines = tuple(
                StatementLine(TransferKind(row["kind"]), row["count"], row["amount"])
                for row in own
                if row["kind"] is not None
            )
            opening = closing - sum(line.amount for line in lines)
            statements.append(Statement(currency, opening, closing, lines))
        return statements

    async def flows(self, ids: IdRange) -> list[Flow]:
        """Of the whole server."""
        rows = await self._database.fetch(
            """SELECT transfer.kind, account.kind, account.currency, count(*),
                      coalesce(sum(entry.amount) FILTER (WHERE entry.amount > 0), 0)::bigint,
                      coalesce(-sum(entry.amount) FILTER (WHERE entry.amount < 0), 0)::bigint
               FROM ledger_transfers AS transfer
               JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
               JOIN ledger_accounts AS account ON account.id = entry.account_id
               WHERE transfer.id >= $1 AND transfer.id < $2
               GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
            ids.start,
            ids.end,
        )
        return [Flow(TransferKind(row[0]), AccountKind(row[1]), *row[2:]) for row in rows]


def _first_id(moment: datetime) -> UUID:
    """No id of that millisecond or later is smaller."""
    return UUID(int=max(int(moment.timestamp() * 1000), 0) << 80)
