"""Discount and reward codes, and how often they were used.

Who uses a code locks its row: the counters, of all and of the user, are right however many use it at once.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id

CODE_TAKEN: Final = "discount_codes_code_unique"
"""The constraint of a Conflict: there is such a code."""
USER_KNOWN: Final = "discount_codes_user_known"
"""The constraint of an InvalidValue: there is no such user."""

_COLUMNS: Final = """discount_codes.id, code, kind, percent, coins, max_uses, uses_per_user,
    discount_codes.user_id, expires_at, discount_codes.uses, retired_at, discount_codes.created_at"""


class DiscountKind(Enum):
    """Cheaper purchases, coins on top of a purchase, or coins for nothing."""

    PERCENTAGE = "percentage"
    BONUS_COINS = "bonus_coins"
    REWARD = "reward"


@dataclass(frozen=True, slots=True)
class NewDiscount:
    """A limit that is None is none. With ``user_id`` the code is for that user alone."""

    code: str
    kind: DiscountKind
    percent: int
    coins: int
    max_uses: int | None
    uses_per_user: int | None
    user_id: UUID | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Discount:
    """``uses`` counts those that running purchases hold, too."""

    id: UUID
    code: str
    kind: DiscountKind
    percent: int
    coins: int
    max_uses: int | None
    uses_per_user: int | None
    user_id: UUID | None
    expires_at: datetime | None
    uses: int
    retired_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """A code as it is for one user, who has used it ``own_uses`` times."""

    discount: Discount
    own_uses: int
    is_expired: bool


class Discounts:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, new: NewDiscount) -> Discount:
        """Raises Conflict ``CODE_TAKEN``, InvalidValue ``USER_KNOWN``."""
        row = await self._database.fetch_row(
            f"""INSERT INTO discount_codes (id, code, kind, percent, coins, max_uses, uses_per_user, user_id,
                                            expires_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING {_COLUMNS}""",
            new_id(),
            new.code,
            new.kind.value,
            new.percent,
            new.coins,
            new.max_uses,
            new.uses_per_user,
            new.user_id,
            new.expires_at,
        )
        assert row is not None
        return _discount(row)

    async def newest(self, before: UUID | None, limit: int) -> list[Discount]:
        """The newest first."""
        before_sql = "WHERE id < $2" if before is not None else ""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM discount_codes {before_sql} ORDER BY id DESC LIMIT $1",
            limit,
            *(() if before is None else (before,)),
        )
        return [_discount(row) for row in rows]

    async def of_user(self, user_id: UUID, before: UUID | None, limit: int) -> list[Discount]:
        """Those that are for this user alone and can be used still, the newest first."""
        before_sql = "AND discount_codes.id < $3" if before is not None else ""
        rows = await self._database.fetch(
            f"""SELECT {_COLUMNS} FROM discount_codes
                LEFT JOIN discount_uses AS own
                    ON own.code_id = discount_codes.id AND own.user_id = discount_codes.user_id
                WHERE discount_codes.user_id = $1 AND retired_at IS NULL
                  AND (expires_at IS NULL OR expires_at > now())
                  AND (max_uses IS NULL OR discount_codes.uses < max_uses)
                  AND (uses_per_user IS NULL OR coalesce(own.uses, 0) < uses_per_user) {before_sql}
                ORDER BY discount_codes.id DESC LIMIT $2""",
            user_id,
            limit,
            *(() if before is None else (before,)),
        )
        return [_discount(row) for row in rows]

    async def standing(self, code: str, user_id: UUID) -> Standing | None:
        """The code as it is for the user; not one that is retired or another user's."""
        row = await self._database.fetch_row(_STANDING, code, user_id)
        return _standing(row) if row else None

    async def lock(self, code: str, user_id: UUID) -> Standing | None:
        """The same, to be used in this transaction: until it ends, nobody else can use the code."""
        await self._database.execute("SELECT FROM discount_codes WHERE code = $1 FOR UPDATE", code)
        return await self.standing(code, user_id)

    async def use(self, discount_id: UUID, user_id: UUID) -> None:
        """Raises InvalidValue when it was used too often, which ``lock`` would have told."""
        await self._database.execute("UPDATE discount_codes SET uses = uses + 1 WHERE id = $1", discount_id)
        await self._count_of_user(discount_id, user_id)

    async def use_late(self, discount_id: UUID, user_id: UUID) -> None:
        """Once more after ``release``, even above the limit."""
        await self._database.execute(
            "UPDATE discount_codes SET uses = uses + 1, late_uses = late_uses + 1 WHERE id = $1", discount_id
        )
        await self._count_of_user(discount_id, user_id)

    async def _count_of_user(self, discount_id: UUID, user_id: UUID) -> None:
        await self._database.execute(
            """INSERT INTO discount_uses (code_id, user_id, uses) VALUES ($1, $2, 1)
               ON CONFLICT (code_id, user_id) DO UPDATE SET uses = discount_uses.uses + 1""",
            discount_id,
            user_id,
        )

    async def release(self, discount_id: UUID, user_id: UUID) -> None:
        """Undo one ``use``."""
        await self._database.execute("UPDATE discount_codes SET uses = uses - 1 WHERE id = $1", discount_id)
        await self._database.execute(
            "UPDATE discount_uses SET uses = uses - 1 WHERE code_id = $1 AND user_id = $2 AND uses > 0",
            discount_id,
            user_id,
        )

    async def retire(self, discount_id: UUID) -> bool:
        """Whether it was there. What holds it already keeps it."""
        found: UUID | None = await self._database.fetch_value(
            """UPDATE discount_codes SET retired_at = coalesce(retired_at, now()) WHERE id = $1
               RETURNING id""",
            discount_id,
        )
        return found is not None


_STANDING: Final = f"""
    SELECT {_COLUMNS}, coalesce(own.uses, 0), coalesce(expires_at <= now(), false)
    FROM discount_codes
    LEFT JOIN discount_uses AS own ON own.code_id = discount_codes.id AND own.user_id = $2
    WHERE code = $1 AND retired_at IS NULL
      AND (discount_codes.user_id IS NULL OR discount_codes.user_id = $2)"""


def _standing(row: Row) -> Standing:
    *discount, own_uses, is_expired = row
    return Standing(_discount(discount), own_uses, is_expired)


def _discount(row: Row) -> Discount:
    return Discount(row[0], row[1], DiscountKind(row[2]), *row[3:])
