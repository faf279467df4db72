"""What coins are sold for, and how administrators decide it."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from control_api.pagination import Page
from control_api.principal import Access
from control_api.routing import Call, Route
from control_api.schemas import Body, Data, PageQuery
from control_api.services.coin_packages import (
    MAX_NAME,
    MAX_PRICE,
    MIN_PRICE,
    CoinPackagesService,
    PackageChanges,
)
from control_api.services.money import CURRENCY_PATTERN, MAX_COINS
from control_api.texts import LINE_PATTERN
from storage.repositories.coin_packages import CoinPackage

NOT_FOUND = (HTTPStatus.NOT_FOUND, "package_not_found")

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=LINE_PATTERN)]
Coins = Annotated[int, Meta(ge=1, le=MAX_COINS)]
Price = Annotated[int, Meta(ge=MIN_PRICE, le=MAX_PRICE)]
Currency = Annotated[str, Meta(pattern=CURRENCY_PATTERN, max_length=3)]


class CoinPackageView(Data):
    """``price`` is in minor units of ``currency``, such as cents."""

    id: UUID
    name: str
    coins: int
    price: int
    currency: str


class AdminCoinPackageView(CoinPackageView):
    is_offered: bool


class NewCoinPackage(Body):
    """``price`` is in minor units of ``currency``, an ISO 4217 code in small letters."""

    name: Name
    coins: Coins
    price: Price
    currency: Currency


class CoinPackageChanges(Body):
    """What is left out stays as it is."""

    name: Name | UnsetType = UNSET
    coins: Coins | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET
    is_offered: bool | UnsetType = UNSET


class CoinPackageRoutes:
    def __init__(self, packages: CoinPackagesService) -> None:
        self._packages = packages

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/coin-packages",
                self.list,
                "What coins are sold for, the cheapest first",
                query=PageQuery,
                response=list[CoinPackageView],
                scope="rooms:read",
            ),
            Route(
                "GET",
                "/admin/coin-packages",
                self.list_all,
                "All packages, those that are offered no longer, too",
                Access.ADMIN,
                query=PageQuery,
                response=list[AdminCoinPackageView],
            ),
            Route(
                "POST",
                "/admin/coin-packages",
                self.add,
                "Offer another package",
                Access.ADMIN,
                body=NewCoinPackage,
                response=AdminCoinPackageView,
                status=HTTPStatus.CREATED,
            ),
            Route(
                "PATCH",
                "/admin/coin-packages/{id}",
                self.change,
                "Change a package; what was bought stays what it was",
                Access.ADMIN,
                body=CoinPackageChanges,
                response=AdminCoinPackageView,
                errors=(NOT_FOUND,),
            ),
            Route(
                "DELETE",
                "/admin/coin-packages/{id}",
                self.retire,
                "Offer a package no longer",
                Access.ADMIN,
                errors=(NOT_FOUND,),
            ),
        ]

    async def list(self, call: Call[None, PageQuery]) -> Page[CoinPackageView]:
        page = await self._packages.list(True, call.query.cursor, call.query.limit)
        return page.map(_view)

    async def list_all(self, call: Call[None, PageQuery]) -> Page[AdminCoinPackageView]:
        page = await self._packages.list(False, call.query.cursor, call.query.limit)
        return page.map(_admin_view)

    async def add(self, call: Call[NewCoinPackage, None]) -> AdminCoinPackageView:
        body = call.body
        return _admin_view(
            await self._packages.add(
                call.user_id, call.address, body.name, body.coins, body.price, body.currency
            )
        )

    async def change(self, call: Call[CoinPackageChanges, None]) -> AdminCoinPackageView:
        body = call.body
        changes = PackageChanges(
            None if body.name is UNSET else body.name,
            None if body.coins is UNSET else body.coins,
            None if body.price is UNSET else body.price,
            None if body.currency is UNSET else body.currency,
            None if body.is_offered is UNSET else body.is_offered,
        )
        package_id = call.path_id("id", "package")
        return _admin_view(await self._packages.change(call.user_id, call.address, package_id, changes))

    async def retire(self, call: Call[None, None]) -> None:
        await self._packages.retire(call.user_id, call.address, call.path_id("id", "package"))


def _view(package: CoinPackage) -> CoinPackageView:
    return CoinPackageView(
        id=package.id,
        name=package.name,
        coins=package.coins,
        price=package.price,
        currency=package.currency,
    )


def _admin_view(package: CoinPackage) -> AdminCoinPackageView:
    return AdminCoinPackageView(
        id=package.id,
        name=package.name,
        coins=package.coins,
        price=package.price,
        currency=package.currency,
        is_offered=package.is_offered,
    )
