"""The ledger: accounts, and transfers between them that sum to zero. The database holds it to that.

Rules:

* A transfer is posted once, whole, and never changed. What was wrong is put right by another transfer.
* Who posts names a scope and a key. Under them something is done once, however often it is asked for.
* Balances are moved by the database, in the statement that writes the entries, and keep to their bounds.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor
from storage.ids import new_id
from storage.repositories.ledger_accounts import AccountKind

COIN: Final = "coin"
GEM: Final = "gem"

ONCE: Final = "ledger_transfers_once"
"""The constraint of a Conflict: there is a transfer with this scope and key."""
NO_OVERDRAFT: Final = "ledger_balances_no_overdraft"
"""The constraint of an InvalidValue: there is not so much on an account."""


class TransferKind(Enum):
    """What a transfer is for."""

    GIFT = "gift"
    TIP = "tip"
    BONUS = "bonus"
    ADJUSTMENT = "adjustment"
    PURCHASE = "purchase"
    REFUND = "refund"
    DISPUTE = "dispute"
    REPAYMENT = "repayment"
    SUBSCRIPTION = "subscription"
    CONVERSION = "conversion"
    PAYOUT = "payout"
    PAYOUT_PAID = "payout_paid"
    PAYOUT_RETURN = "payout_return"
    REWARD = "reward"


@dataclass(frozen=True, slots=True)
class Line:
    """``amount`` is added to the account; below zero it is taken."""

    account_id: int
    amount: int


@dataclass(frozen=True, slots=True)
class NewTransfer:
    """``fingerprint`` is what tells whether the same is asked for again under the same ``key``."""

    kind: TransferKind
    scope: str
    key: str
    fingerprint: str
    lines: tuple[Line, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    id: UUID
    kind: TransferKind
    fingerprint: str
    reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Holding:
    """An account of a user, and what is on it."""

    kind: AccountKind
    currency: str
    balance: int


@dataclass(frozen=True, slots=True)
class Movement:
    """What one transfer did to an account of a user, on all its shards.

    ``place``, that of the first of its entries there, tells those of one transfer apart.
    """

    transfer_id: UUID
    place: int
    kind: TransferKind
    account: AccountKind
    currency: str
    amount: int
    reason: str
    created_at: datetime


POST: Final = """
    transfer AS (
        INSERT INTO ledger_transfers (id, kind, scope, key, fingerprint, reason)
        VALUES ($1, $2, $3, $4, $5, $6)
    ), entries AS (
        INSERT INTO ledger_entries (transfer_id, place, account_id, shard, currency, amount)
        SELECT $1, line.place, account.id, coalesce(line.shard, pg_backend_pid() % account.shards),
               account.currency, line.amount
        FROM unnest($7::bigint[], $8::bigint[], $9::smallint[])
             WITH ORDINALITY AS line (account_id, amount, shard, place)
        JOIN ledger_accounts AS account ON account.id = line.account_id
    )"""
"""Part of a statement that posts a transfer, with ``post_arguments``. An account that is not there is left
out: the rest does not sum to zero and is refused. Connections have a shard each, as far as there are enough.
"""

Shards = Sequence[int | None]


class Ledger:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def post(self, transfer: NewTransfer) -> UUID:
        """The new transfer's id. What it takes from an account with shards is taken from all of them.

        Raises Conflict ``ONCE`` when that key was used, InvalidValue ``NO_OVERDRAFT`` when there is not
        enough; nothing has happened then.
        """
        transfer_id = new_id()
        async with self._database.transaction() as transaction:
            lines, shards = await _allotted(transaction, transfer.lines)
            await transaction.execute(
                f"WITH {POST} SELECT 1", *post_arguments(transfer_id, transfer, lines, shards)
            )
        return transfer_id

    async def hold(self, account_ids: Sequence[int], whole: Sequence[int]) -> None:
        """Until the transaction ends, nobody else takes from these accounts; ``whole``: from no shard.

        For who posts several transfers in one transaction: the order is everybody's, and is kept only if
        all that is needed is held before the first of them.
        """
        await self._database.fetch(_LOCK, list(account_ids), list(whole))

    async def find(self, scope: str, key: str) -> Transfer | None:
        row = await self._database.fetch_row(
            """SELECT id, kind, fingerprint, reason, created_at FROM ledger_transfers
               WHERE scope = $1 AND key = $2""",
            scope,
            key,
        )
        return Transfer(row[0], TransferKind(row[1]), *row[2:]) if row else None

    async def has_scope(self, scope: str) -> bool:
        """Whether there is any movement of this scope."""
        return bool(
            await self._database.fetch_value(
                "SELECT EXISTS (SELECT FROM ledger_transfers WHERE scope = $1)", scope
            )
        )

    async def holdings(self, user_id: UUID) -> list[Holding]:
        """Every account of the user."""
        return (await self.holdings_of([user_id]))[user_id]

    async def holdings_of(self, user_ids: Collection[UUID]) -> dict[UUID, list[Holding]]:
        """Every account of each of the users."""
        rows = await self._database.fetch(
            """SELECT owner_id, kind, currency,
                      (SELECT sum(balance)::bigint FROM ledger_balances WHERE account_id = account.id)
               FROM ledger_accounts AS account
               WHERE owner_id = ANY ($1::uuid[]) ORDER BY kind, currency""",
            list(user_ids),
        )
        held: dict[UUID, list[Holding]] = {user_id: [] for user_id in user_ids}
        for owner_id, kind, currency, balance in rows:
            held[owner_id].append(Holding(AccountKind(kind), currency, balance))
        return held

    async def movements(
        self, user_id: UUID, kind: AccountKind | None, before: tuple[UUID, int] | None, limit: int
    ) -> list[Movement]:
        """The newest first, on accounts of ``kind`` or all; ``before``: the last one's id and place."""
        kind_name = kind.value if kind is not None else None
        after_sql, arguments = _ANY_TIME, [user_id, kind_name, limit]
        if before is not None:
            after_sql, arguments = _BEFORE, [*arguments, *before]
        rows = await self._database.fetch(_MOVEMENTS.format(after=after_sql), *arguments)
        return [Movement(row[0], row[1], TransferKind(row[2]), AccountKind(row[3]), *row[4:]) for row in rows]


_MOVEMENTS: Final = """
    SELECT transfer.id, entry.place, transfer.kind, account.kind, account.currency, entry.amount,
           transfer.reason, transfer.created_at
    FROM ledger_accounts AS account
    CROSS JOIN LATERAL (
        SELECT transfer_id, min(place) AS place, sum(amount)::bigint AS amount FROM ledger_entries
        WHERE account_id = account.id {after}
        ORDER BY transfer_id DESC LIMIT $3) AS entry
    JOIN ledger_transfers AS transfer ON transfer.id = entry.transfer_id
    WHERE account.owner_id = $1 AND ($2::text IS NULL OR account.kind = $2)
    ORDER BY entry.transfer_id DESC, entry.place LIMIT $3"""
_ANY_TIME: Final = "GROUP BY transfer_id"
_BEFORE: Final = "AND transfer_id <= $4 GROUP BY transfer_id HAVING transfer_id < $4 OR min(place) > $5"

_LOCK: Final = """
    SELECT balances.account_id, balances.shard, balances.balance,
           account.bounds = 'credit' AND account.shards > 1
           AND balances.account_id = ANY ($2) AS is_allotted
    FROM ledger_balances AS balances JOIN ledger_accounts AS account ON account.id = balances.account_id
    WHERE balances.account_id = ANY ($1)
      AND (balances.shard = pg_backend_pid() % account.shards OR balances.account_id = ANY ($2))
    ORDER BY balances.account_id, balances.shard FOR UPDATE OF balances"""

_NEEDS_SHARDS: Final = """
    SELECT id FROM ledger_accounts WHERE id = ANY ($1::bigint[]) AND bounds = 'credit' AND shards > 1"""


def post_arguments(
    transfer_id: UUID, transfer: NewTransfer, lines: Sequence[Line], shards: Shards
) -> tuple[object, ...]:
    """What stands for $1 to $9 in POST. A shard of None is the connection's own."""
    return (
        transfer_id,
        transfer.kind.value,
        transfer.scope,
        transfer.key,
        transfer.fingerprint,
        transfer.reason,
        [line.account_id for line in lines],
        [line.amount for line in lines],
        list(shards),
    )


async def _allotted(transaction: Executor, lines: Sequence[Line]) -> tuple[list[Line], list[int | None]]:
    """``lines`` with those that take from several shards split up, which are locked then, and the shards."""
    taken = [line.account_id for line in lines if line.amount < 0]
    rows = await transaction.fetch(_NEEDS_SHARDS, taken)
    if not rows:
        return list(lines), [None] * len(lines)
    split = [row["id"] for row in rows]
    locked = await transaction.fetch(_LOCK, [line.account_id for line in lines], split)
    held: dict[int, list[tuple[int, int]]] = {}
    for row in locked:
        if row["is_allotted"]:
            held.setdefault(row["account_id"], []).append((row["shard"], row["balance"]))
    return _split(lines, held)


def _split(
    lines: Sequence[Line], held: Mapping[int, Sequence[tuple[int, int]]]
) -> tuple[list[Line], list[int | None]]:
    """What shards do not have is asked of the first of them, which refuses it."""
    parts: list[Line] = []
    shards: list[int | None] = []
    for line in lines:
        missing = -line.amount
        for shard, balance in held.get(line.account_id, ()) if missing > 0 else ():
            part = min(balance, missing)
            if part > 0:
                parts.append(Line(line.account_id, -part))
                shards.append(shard)
                missing -= part
        if missing != 0:
            parts.append(Line(line.account_id, -missing))
            shards.append(0 if line.account_id in held and missing > 0 else None)
    return parts, shards
