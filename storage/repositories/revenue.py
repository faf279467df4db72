"""What creators earned: by time, kind and room, and as a statement of a month.

Ranges are of transfers' ids, which begin with the time in which they were made: every index has them.
"""

from dataclasses import dataclass
from datetime import datetime
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
class StatementBalance:
    currency: str
    opening: int
    closing: int


@dataclass(frozen=True, slots=True)
class StatementLine:
    currency: str
    kind: TransferKind
    count: int
    amount: int


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

    async def balances(self, user_id: UUID, ids: IdRange) -> list[StatementBalance]:
        """Of the earnings, in each currency that the user ever had."""
        rows = await self._database.fetch(
            """SELECT currency,
                      coalesce((SELECT sum(amount) FROM ledger_entries
                                WHERE account_id = account.id AND transfer_id < $2), 0)::bigint,
                      coalesce((SELECT sum(amount) FROM ledger_entries
                                WHERE account_id = account.id AND transfer_id < $3), 0)::bigint
               FROM ledger_accounts AS account WHERE owner_id = $1 AND kind = 'earnings'
               ORDER BY currency""",
            user_id,
            ids.start,
            ids.end,
        )
        return [StatementBalance(*row) for row in rows]

    async def lines(self, user_id: UUID, ids: IdRange) -> list[StatementLine]:
        """What changed the earnings, by kind."""
        rows = await self._database.fetch(
            """SELECT account.currency, transfer.kind, count(DISTINCT transfer.id), sum(entry.amount)::bigint
               FROM ledger_accounts AS account
               JOIN ledger_entries AS entry ON entry.account_id = account.id
               JOIN ledger_transfers AS transfer ON transfer.id = entry.transfer_id
               WHERE account.owner_id = $1 AND account.kind = 'earnings'
                 AND entry.transfer_id >= $2 AND entry.transfer_id < $3
               GROUP BY account.currency, transfer.kind ORDER BY account.currency, transfer.kind""",
            user_id,
            ids.start,
            ids.end,
        )
        return [StatementLine(row[0], TransferKind(row[1]), row[2], row[3]) for row in rows]

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
