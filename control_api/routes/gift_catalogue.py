"""What can be given, and what of it is a creator's, for administrators."""

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from control_api.pagination import Page
from control_api.principal import Access
from control_api.routes.gifts import GiftView
from control_api.routing import Call, Route
from control_api.schemas import Body, Data, PageQuery
from control_api.services.gift_catalogue import (
    MAX_NAME,
    MAX_PICTURE,
    MAX_PRICE,
    SLUG_PATTERN,
    GiftCatalogueService,
    GiftChanges,
)
from control_api.texts import LINE_PATTERN
from storage.repositories.gifts import Animation, Gift, NewGift

NOT_FOUND = (HTTPStatus.NOT_FOUND, "gift_not_found")

Slug = Annotated[str, Meta(pattern=SLUG_PATTERN, max_length=31)]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=LINE_PATTERN)]
Price = Annotated[int, Meta(ge=1, le=MAX_PRICE)]
Picture = Annotated[str, Meta(min_length=1, max_length=MAX_PICTURE, pattern=LINE_PATTERN)]
Percent = Annotated[int, Meta(ge=0, le=100)]


class AdminGiftView(GiftView):
    """A gift that is not active can be given no more; those that were given keep its name."""

    is_active: bool


class GiftInCatalogue(Body):
    """``picture`` is an emoji or an address. The slug cannot be changed later."""

    slug: Slug
    name: Name
    price_coins: Price
    picture: Picture
    animation: Animation = Animation.FLOAT


class GiftCatalogueChanges(Body):
    """What is left out stays as it is. ``isActive`` false retires the gift."""

    name: Name | UnsetType = UNSET
    price_coins: Price | UnsetType = UNSET
    picture: Picture | UnsetType = UNSET
    animation: Animation | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class CreatorShare(Body):
    """What of gifts and tips is the creator's, in percent; null for what everybody gets by the settings."""

    percent: Percent | None


class CreatorShareView(Data):
    user_id: UUID
    percent: int | None


class GiftCatalogueRoutes:
    def __init__(self, catalogue: GiftCatalogueService) -> None:
        self._catalogue = catalogue

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/admin/gifts",
                self.list,
                "All gifts, those that are retired, too",
                Access.ADMIN,
                query=PageQuery,
                response=list[AdminGiftView],
            ),
            Route(
                "POST",
                "/admin/gifts",
                self.add,
                "Add a gift",
                Access.ADMIN,
                body=GiftInCatalogue,
                response=AdminGiftView,
                status=HTTPStatus.CREATED,
                errors=((HTTPStatus.CONFLICT, "slug_taken"),),
            ),
            Route(
                "PATCH",
                "/admin/gifts/{id}",
                self.change,
                "Change or retire a gift; what was given stays what it was",
                Access.ADMIN,
                body=GiftCatalogueChanges,
                response=AdminGiftView,
                errors=(NOT_FOUND,),
            ),
            Route(
                "PUT",
                "/admin/users/{id}/creator-share",
                self.set_share,
                "Set what of gifts and tips is a creator's",
                Access.ADMIN,
                body=CreatorShare,
                response=CreatorShareView,
                errors=((HTTPStatus.NOT_FOUND, "user_not_found"),),
            ),
        ]

    async def list(self, call: Call[None, PageQuery]) -> Page[AdminGiftView]:
        return (await self._catalogue.list(call.query.cursor, call.query.limit)).map(_view)

    async def add(self, call: Call[GiftInCatalogue, None]) -> AdminGiftView:
        body = call.body
        gift = NewGift(body.slug, body.name, body.price_coins, body.picture, body.animation)
        return _view(await self._catalogue.add(call.user_id, call.address, gift))

    async def change(self, call: Call[GiftCatalogueChanges, None]) -> AdminGiftView:
        body, gift_id = call.body, call.path_id("id", "gift")
        changes = GiftChanges(
            _given(body.name),
            _given(body.price_coins),
            _given(body.picture),
            _given(body.animation),
            _given(body.is_active),
        )
        return _view(await self._catalogue.change(call.user_id, call.address, gift_id, changes))

    async def set_share(self, call: Call[CreatorShare, None]) -> CreatorShareView:
        user_id, percent = call.path_id("id", "user"), call.body.percent
        await self._catalogue.set_share(call.user_id, call.address, user_id, percent)
        return CreatorShareView(user_id=user_id, percent=percent)


def _given(value: Any) -> Any:
    return None if value is UNSET else value


def _view(gift: Gift) -> AdminGiftView:
    return AdminGiftView(
        id=gift.id,
        slug=gift.slug,
        name=gift.name,
        price_coins=gift.price_coins,
        picture=gift.picture,
        animation=gift.animation,
        is_active=gift.is_active,
    )
