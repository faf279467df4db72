"""What coins are sold for."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from storage.database import Executor
from storage.ids import new_id

_COLUMNS: Final = "id, name, coins, price, currency, is_offered"


@dataclass(frozen=True, slots=True)
class CoinPackage:
    """``price`` is in minor units of ``currency``. One that is not offered cannot be bought any more."""

    id: UUID
    name: str
    coins: int
    price: int
    currency: str
    is_offered: bool


@dataclass(frozen=True, slots=True)
class PackagePosition:
    """The last package of a page."""

    price: int
    id: UUID


class CoinPackages:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def in_order(
        self, offered_only: bool, after: PackagePosition | None, limit: int
    ) -> list[CoinPackage]:
        """The cheapest first."""
        after_sql = "AND (price, id) > ($3, $4)" if after is not None else ""
        position = (after.price, after.id) if after is not None else ()
        rows = await self._database.fetch(
            f"""SELECT {_COLUMNS} FROM coin_packages WHERE (is_offered OR NOT $1) {after_sql}
                ORDER BY price, id LIMIT $2""",
            offered_only,
            limit,
            *position,
        )
        return [CoinPackage(*row) for row in rows]

    async def find(self, package_id: UUID) -> CoinPackage | None:
        row = await self._database.fetch_row(
            f"SELECT {_COLUMNS} FROM coin_packages WHERE id = $1", package_id
        )
        return CoinPackage(*row) if row else None

    async def lock(self, package_id: UUID) -> CoinPackage | None:
        """The same; until the transaction ends, nobody else changes it."""
        row = await self._database.fetch_row(
            f"SELECT {_COLUMNS} FROM coin_packages WHERE id = $1 FOR NO KEY UPDATE", package_id
        )
        return CoinPackage(*row) if row else None

    async def add(self, name: str, coins: int, price: int, currency: str) -> CoinPackage:
        row = await self._database.fetch_row(
            f"""INSERT INTO coin_packages (id, name, coins, price, currency) VALUES ($1, $2, $3, $4, $5)
                RETURNING {_COLUMNS}""",
            new_id(),
            name,
            coins,
            price,
            currency,
        )
        assert row is not None
        return CoinPackage(*row)

    async def change(self, package: CoinPackage) -> None:
        """What was bought before stays what it was."""
        await self._database.execute(
            """UPDATE coin_packages SET name = $2, coins = $3, price = $4, currency = $5, is_offered = $6
               WHERE id = $1""",
            package.id,
            package.name,
            package.coins,
            package.price,
            package.currency,
            package.is_offered,
        )
