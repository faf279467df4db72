"""Purchases of coins: what was asked for, what became of it, and which movements it made."""

from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id

ONE_KEY: Final = "purchases_once"
"""The constraint of a Conflict: the user has a purchase with this key."""


class PurchaseState(Enum):
    """PROCESSING is ordered and not yet paid, as with a bank transfer. REVIEW is paid, but not as asked.

    Coins were credited with PAID and those after it.
    """

    PENDING = "pending"
    PROCESSING = "processing"
    FAILED = "failed"
    EXPIRED = "expired"
    REVIEW = "review"
    PAID = "paid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    CHARGED_BACK = "charged_back"


@dataclass(frozen=True, slots=True)
class NewPurchase:
    """``key`` is the client's, ``fingerprint`` what was asked for under it."""

    user_id: UUID
    key: str
    fingerprint: str
    package_id: UUID
    description: str
    coins: int
    amount: int
    currency: str
    discount_id: UUID | None
    provider: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Purchase:
    """``amount`` in minor units. The provider calls its page ``session`` and what is paid ``payment``."""

    id: UUID
    user_id: UUID
    fingerprint: str
    package_id: UUID
    description: str
    coins: int
    amount: int
    currency: str
    discount_id: UUID | None
    holds_discount: bool
    state: PurchaseState
    provider: str
    session: str | None
    checkout_url: str | None
    payment: str | None
    coins_reversed: int
    amount_reversed: int
    created_at: datetime
    expires_at: datetime
    credited_at: datetime | None


@dataclass(frozen=True, slots=True)
class BuyersPurchase:
    """With the name of who buys."""

    purchase: Purchase
    username: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the buyer is to be written of, at ``email``."""

    purchase: Purchase
    email: str
    display_name: str


_COLUMNS: Final = """purchases.id, user_id, fingerprint, package_id, description, coins, amount, currency,
    discount_id, holds_discount, purchases.state, provider, session, checkout_url, payment, coins_reversed,
    amount_reversed, purchases.created_at, expires_at, credited_at"""


_PURCHASE_FIELDS: Final = [field.name for field in fields(Purchase)]


class Purchases:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, new: NewPurchase) -> Purchase:
        """Raises Conflict ``ONE_KEY``."""
        row = await self._database.fetch_row(
            f"""INSERT INTO purchases (id, user_id, key, fingerprint, package_id, description, coins, amount,
                                       currency, discount_id, holds_discount, provider, expires_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::uuid, $10::uuid IS NOT NULL, $11, $12)
                RETURNING {_COLUMNS}""",
            new_id(),
            new.user_id,
            new.key,
            new.fingerprint,
            new.package_id,
            new.description,
            new.coins,
            new.amount,
            new.currency,
            new.discount_id,
            new.provider,
            new.expires_at,
        )
        assert row is not None
        return _purchase(row)

    async def find_by_key(self, user_id: UUID, key: str) -> Purchase | None:
        row = await self._database.fetch_row(
            f"SELECT {_COLUMNS} FROM purchases WHERE user_id = $1 AND key = $2", user_id, key
        )
        return _purchase(row) if row else None

    async def of_user(self, user_id: UUID, before: UUID | None, limit: int) -> list[Purchase]:
        """The newest first."""
        before_sql = "AND id < $3" if before is not None else ""
        rows = await self._database.fetch(
            f"""SELECT {_COLUMNS} FROM purchases WHERE user_id = $1 {before_sql}
                ORDER BY id DESC LIMIT $2""",
            user_id,
            limit,
            *(() if before is None else (before,)),
        )
        return [_purchase(row) for row in rows]

    async def of_everybody(
        self, state: PurchaseState | None, user_id: UUID | None, before: UUID | None, limit: int
    ) -> list[BuyersPurchase]:
        """The newest first; of one state and one user where they are given."""
        wanted = {
            "purchases.state =": state.value if state is not None else None,
            "user_id =": user_id,
            "purchases.id <": before,
        }
        given = {condition: value for condition, value in wanted.items() if value is not None}
        conditions = "".join(f" AND {condition} ${place}" for place, condition in enumerate(given, 2))
        rows = await self._database.fetch(
            f"""SELECT {_COLUMNS}, username FROM purchases JOIN users ON users.id = user_id
                WHERE true{conditions} ORDER BY purchases.id DESC LIMIT $1""",
            limit,
            *given.values(),
        )
        return [BuyersPurchase(_purchase(row[:-1]), row[-1]) for row in rows]

    async def lock(self, purchase_id: UUID) -> Purchase | None:
        """For this transaction alone."""
        row = await self._database.fetch_row(
            f"SELECT {_COLUMNS} FROM purchases WHERE id = $1 FOR UPDATE", purchase_id
        )
        return _purchase(row) if row else None

    async def lock_by_payment(self, payment: str) -> Purchase | None:
        row = await self._database.fetch_row(
            f"SELECT {_COLUMNS} FROM purchases WHERE payment = $1 FOR UPDATE", payment
        )
        return _purchase(row) if row else None

    async def set_session(self, purchase_id: UUID, session: str, url: str) -> None:
        """Once: the provider opens the same page for the same purchase."""
        await self._database.execute(
            """UPDATE purchases SET session = $2, checkout_url = $3
               WHERE id = $1 AND session IS NULL""",
            purchase_id,
            session,
            url,
        )

    async def set_credited(self, purchase_id: UUID, payment: str | None) -> None:
        """The coins are in the wallet; a receipt is due."""
        await self._database.execute(
            """UPDATE purchases SET payment = $2, credited_at = now(), receipt_due = true,
                                    checkout_url = NULL WHERE id = $1""",
            purchase_id,
            payment,
        )

    async def set_reversed(self, purchase_id: UUID, coins: int, amount: int) -> None:
        """How much was taken back, all in all. If it is more than before, the buyer is to hear of it."""
        await self._database.execute(
            """UPDATE purchases SET coins_reversed = $2, amount_reversed = $3,
                                    receipt_due = receipt_due OR amount_reversed < $3 WHERE id = $1""",
            purchase_id,
            coins,
            amount,
        )

    async def set_state(
        self, purchase_id: UUID, state: PurchaseState, event_id: str | None, note: str = ""
    ) -> None:
        """With its history. To be called with the purchase locked."""
        await self._database.execute(
            "UPDATE purchases SET state = $2 WHERE id = $1", purchase_id, state.value
        )
        await self._database.execute(
            """INSERT INTO purchase_history (purchase_id, place, state, event_id, note)
               SELECT $1, coalesce(max(place), 0) + 1, $2, $3, $4
               FROM purchase_history WHERE purchase_id = $1""",
            purchase_id,
            state.value,
            event_id,
            note,
        )

    async def release_discount(self, purchase_id: UUID) -> None:
        await self._database.execute("UPDATE purchases SET holds_discount = false WHERE id = $1", purchase_id)

    async def hold_discount(self, purchase_id: UUID) -> None:
        await self._database.execute("UPDATE purchases SET holds_discount = true WHERE id = $1", purchase_id)

    async def free_key(self, purchase_id: UUID) -> None:
        """The client may ask again with its key."""
        await self._database.execute("UPDATE purchases SET key = NULL WHERE id = $1", purchase_id)

    async def add_transfer(self, purchase_id: UUID, transfer_id: UUID, event_id: str, kind: str) -> None:
        """Raises Conflict when the event made such a transfer before."""
        await self._database.execute(
            """INSERT INTO purchase_transfers (transfer_id, purchase_id, event_id, kind)
               VALUES ($1, $2, $3, $4)""",
            transfer_id,
            purchase_id,
            event_id,
            kind,
        )

    async def overdue(self, grace_seconds: float, limit: int) -> list[UUID]:
        """Those that nobody paid for in time, and whose end the provider has not told."""
        rows = await self._database.fetch(
            """SELECT id FROM purchases
               WHERE state = 'pending' AND expires_at < now() - make_interval(secs => $1)
               ORDER BY expires_at LIMIT $2""",
            grace_seconds,
            limit,
        )
        return [row["id"] for row in rows]

    async def take_receipts(self, limit: int, lease_seconds: float) -> list[Receipt]:
        """Those whose buyers are to be written to; until ``receipt_sent``, again after the lease."""
        rows = await self._database.fetch(_TAKE_RECEIPTS, limit, lease_seconds)
        return [Receipt(_purchase(row[:-2]), row[-2], row[-1]) for row in rows]

    async def receipt_sent(self, purchase: Purchase) -> None:
        """``purchase`` is what the buyer was written of: what was taken back since is to be told, too."""
        await self._database.execute(
            """UPDATE purchases SET receipt_due = amount_reversed > $2, receipt_after = NULL
               WHERE id = $1""",
            purchase.id,
            purchase.amount_reversed,
        )


_TAKE_RECEIPTS: Final = f"""
    WITH due AS (
        SELECT purchases.id, coalesce(users.state <> 'deleted', false) AS is_there
        FROM purchases LEFT JOIN users ON users.id = purchases.user_id
        WHERE receipt_due AND (receipt_after IS NULL OR receipt_after <= now())
        ORDER BY purchases.id LIMIT $1 FOR UPDATE OF purchases SKIP LOCKED
    ), taken AS (
        UPDATE purchases
        SET receipt_due = due.is_there, receipt_after = now() + make_interval(secs => $2)
        FROM due WHERE purchases.id = due.id RETURNING purchases.*
    )
    SELECT {_COLUMNS.replace("purchases.", "taken.")}, users.email, users.display_name
    FROM taken JOIN users ON users.id = taken.user_id WHERE users.state <> 'deleted'"""


def _purchase(row: Row) -> Purchase:
    values = list(row)
    place = _PURCHASE_FIELDS.index("state")
    values[place] = PurchaseState(values[place])
    return Purchase(*values)
