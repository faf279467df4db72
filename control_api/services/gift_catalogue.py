"""What can be given, and what of it is a creator's: decided by administrators, and audited."""

from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from control_api.errors import conflict, invalid, not_found
from control_api.pagination import Page, id_in, page_of
from control_api.texts import clean_line
from storage.database import Database
from storage.errors import Conflict, InvalidValue
from storage.repositories import Users, UserState
from storage.repositories.audit import AuditLog
from storage.repositories.gifts import Animation, Gift, Gifts, NewGift

MAX_NAME: Final = 50
MAX_PRICE: Final = 1_000_000
MAX_PICTURE: Final = 500
SLUG_PATTERN: Final = "^[a-z0-9][a-z0-9-]{0,30}$"


@dataclass(frozen=True, slots=True)
class GiftChanges:
    """What is None stays as it is. A gift's slug stays for ever: players know the gift by it."""

    name: str | None = None
    price_coins: int | None = None
    picture: str | None = None
    animation: Animation | None = None
    is_active: bool | None = None


class GiftCatalogueService:
    """``actor_id`` is who does it, ``address`` where they are, for the audit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, cursor: str | None, limit: int) -> Page[Gift]:
        """In the order in which they were added, those too that cannot be given any more."""
        found = await Gifts(self._database).every(id_in(cursor), limit + 1)
        return page_of(found, limit, lambda gift: (gift.id,))

    async def add(self, actor_id: UUID, address: str, gift: NewGift) -> Gift:
        """Raises ApiError 409 ``slug_taken``."""
        gift = replace(gift, name=clean_line("name", gift.name, MAX_NAME), picture=_picture(gift.picture))
        async with self._database.transaction() as transaction:
            try:
                added = await Gifts(transaction).add(gift)
            except Conflict as error:
                raise conflict("slug_taken", "Another gift has this slug.", "slug") from error
            except InvalidValue as error:
                raise invalid(_field_of(error), "is not allowed") from error
            await AuditLog(transaction).add(
                actor_id, "gift.added", "gift", str(added.id), address, _details(added)
            )
        return added

    async def change(self, actor_id: UUID, address: str, gift_id: UUID, changes: GiftChanges) -> Gift:
        """What was given before stays what it was. Raises ApiError 404 ``gift_not_found``."""
        wanted = {
            name: value
            for name in ("price_coins", "animation", "is_active")
            if (value := getattr(changes, name)) is not None
        }
        if changes.name is not None:
            wanted["name"] = clean_line("name", changes.name, MAX_NAME)
        if changes.picture is not None:
            wanted["picture"] = _picture(changes.picture)
        async with self._database.transaction() as transaction:
            gifts = Gifts(transaction)
            gift = await gifts.lock(gift_id)
            if gift is None:
                raise not_found("gift")
            gift = replace(gift, **wanted)
            await gifts.change(gift)
            await AuditLog(transaction).add(
                actor_id, "gift.changed", "gift", str(gift_id), address, _details(gift)
            )
        return gift

    async def set_share(self, actor_id: UUID, address: str, user_id: UUID, percent: int | None) -> None:
        """What of a gift is this creator's; None goes back to the setting. Raises ApiError 404."""
        async with self._database.transaction() as transaction:
            user = await Users(transaction).find_by_id(user_id)
            if user is None or user.state is UserState.DELETED:
                raise not_found("user")
            await Gifts(transaction).set_share(user_id, percent)
            await AuditLog(transaction).add(
                actor_id, "creator_share.set", "user", str(user_id), address, {"percent": percent}
            )


def _picture(picture: str) -> str:
    """An emoji, or an address that pages may load."""
    picture = clean_line("picture", picture, MAX_PICTURE)
    if ":" in picture and not picture.startswith("https://"):
        raise invalid("picture", "must be an emoji, a path on this server, or an address with https://")
    return picture


def _field_of(error: InvalidValue) -> str:
    return error.constraint.removeprefix("gifts_").partition("_")[0]


def _details(gift: Gift) -> dict[str, object]:
    return {
        "slug": gift.slug,
        "name": gift.name,
        "priceCoins": gift.price_coins,
        "isActive": gift.is_active,
    }
