"""What coins are sold for: offered to all, decided by administrators."""

from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from control_api.errors import not_found
from control_api.pagination import Page, decode_cursor, page_of
from control_api.texts import clean_line
from storage.database import Database
from storage.repositories.audit import AuditLog
from storage.repositories.coin_packages import CoinPackage, CoinPackages, PackagePosition

MAX_NAME: Final = 50
MAX_PRICE: Final = 99_999_999
MIN_PRICE: Final = 50


@dataclass(frozen=True, slots=True)
class PackageChanges:
    """What is None stays as it is."""

    name: str | None = None
    coins: int | None = None
    price: int | None = None
    currency: str | None = None
    is_offered: bool | None = None


class CoinPackagesService:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, offered_only: bool, cursor: str | None, limit: int) -> Page[CoinPackage]:
        """The cheapest first."""
        after: PackagePosition | None = None
        if cursor is not None:
            price, package_id = decode_cursor(cursor, int, UUID)
            after = PackagePosition(max(0, min(price, MAX_PRICE)), package_id)
        found = await CoinPackages(self._database).in_order(offered_only, after, limit + 1)
        return page_of(found, limit, lambda package: (package.price, package.id))

    async def add(
        self, actor_id: UUID, address: str, name: str, coins: int, price: int, currency: str
    ) -> CoinPackage:
        name = clean_line("name", name, MAX_NAME)
        async with self._database.transaction() as transaction:
            package = await CoinPackages(transaction).add(name, coins, price, currency)
            await AuditLog(transaction).add(
                actor_id, "coin_package.added", "coin_package", str(package.id), address, _details(package)
            )
        return package

    async def change(
        self, actor_id: UUID, address: str, package_id: UUID, changes: PackageChanges
    ) -> CoinPackage:
        """What was bought before stays what it was. Raises ApiError 404 ``package_not_found``."""
        wanted = {
            name: value
            for name in ("name", "coins", "price", "currency", "is_offered")
            if (value := getattr(changes, name)) is not None
        }
        if changes.name is not None:
            wanted["name"] = clean_line("name", changes.name, MAX_NAME)
        async with self._database.transaction() as transaction:
            packages = CoinPackages(transaction)
            package = await packages.lock(package_id)
            if package is None:
                raise not_found("package")
            package = replace(package, **wanted)
            await packages.change(package)
            await AuditLog(transaction).add(
                actor_id, "coin_package.changed", "coin_package", str(package.id), address, _details(package)
            )
        return package

    async def retire(self, actor_id: UUID, address: str, package_id: UUID) -> None:
        """Offer it no longer. Raises ApiError 404 ``package_not_found``."""
        await self.change(actor_id, address, package_id, PackageChanges(is_offered=False))


def _details(package: CoinPackage) -> dict[str, object]:
    return {
        "name": package.name,
        "coins": package.coins,
        "price": package.price,
        "currency": package.currency,
        "isOffered": package.is_offered,
    }
