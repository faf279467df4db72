"""Wallets and gifts behind the real dispatcher: alice has a room that is live, bob and carol give there."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from control_api.routes.gift_catalogue import GiftCatalogueRoutes
from control_api.routes.gifts import GiftsRoutes
from control_api.routes.wallet import WalletRoutes
from control_api.services.gift_catalogue import GiftCatalogueService
from control_api.services.gift_news import GiftNews
from control_api.services.gift_rules import AnyWords, GiftParts, TipWords
from control_api.services.gifts import GiftsService
from control_api.services.money import MoneyOptions
from control_api.services.playback import PlaybackAccess
from control_api.services.wallet import WalletService
from storage.bus import Bus, Event, GiftSent, TipSent
from storage.database import Database
from storage.ids import new_id
from storage.reconciliation import reconcile
from storage.repositories import Role, User, Users
from storage.repositories.ledger_accounts import LedgerAccounts
from storage.repositories.rooms import Rooms, Visibility
from tests.control_api.rooms_world import FakeMedia, Nouns
from tests.control_api.sample import Sample
from tests.control_api.serving import serve

ROSE = UUID("01900000-0000-7000-8000-000000000001")
ROSE_COINS = 10
NO_BONUS = MoneyOptions(welcome_coins=0)


class Money:
    """The services, and what they tell."""

    def __init__(self, database: Database, options: MoneyOptions, words: TipWords | None = None) -> None:
        self.database, self.options, self.media = database, options, FakeMedia()
        self.accounts = LedgerAccounts(database)
        self.wallets = WalletService(database, self.accounts, b"of a test", options)
        self.bus, self.events = Bus(), list[Event]()
        for kind in (GiftSent, TipSent):
            self.bus.subscribe(kind, self.events.append)
        self.news = GiftNews(database, self.bus)
        access = PlaybackAccess(database)
        parts = GiftParts(self.accounts, self.wallets, access, self.media, options, words=words or AnyWords())
        self.gifts = GiftsService(database, parts)

    async def person(self, name: str) -> User:
        return await Users(self.database).add(name, f"{name}@example.com", "hash")

    async def coins(self, user: User) -> int:
        return (await self.wallets.of(user.id)).coins

    async def earnings(self, user: User) -> int:
        return (await self.wallets.of(user.id)).earnings

    async def is_right(self) -> bool:
        return (await reconcile(self.database)).differences == ()


class MoneyWorld:
    def __init__(self, money: Money, people: dict[str, User], room_id: UUID, api: Sample) -> None:
        self.money, self.database = money, money.database
        self.people, self.room_id, self.api = people, room_id, api

    async def call(
        self, method: str, path: str, user: str | None = None, key: str | None = None, **options: Any
    ) -> tuple[int, Any]:
        """(status, data), or (status, code) of what is refused."""
        headers = {"Idempotency-Key": key if key is not None else str(new_id())}
        status, body, _ = await self.api.call(method, path, user, headers=headers, **options)
        return status, body["data"] if body["success"] else body["code"]

    async def give(
        self, user: str = "bob", quantity: int = 1, key: str | None = None, **fields: Any
    ) -> tuple[int, Any]:
        body = {"giftId": str(ROSE), "quantity": quantity, **fields}
        return await self.call("POST", f"/rooms/{self.room_id}/gifts", user, key, json=body)

    async def tip(
        self, coins: int, user: str = "bob", message: str = "", key: str | None = None
    ) -> tuple[int, Any]:
        body = {"coins": coins, "message": message}
        return await self.call("POST", f"/rooms/{self.room_id}/tips", user, key, json=body)

    async def endow(self, user: str, coins: int = 0, gems: int = 0) -> tuple[int, Any]:
        body = {"coins": coins, "gems": gems, "reason": "For a test"}
        return await self.call("POST", f"/admin/wallets/{self.people[user].id}/adjust", "admin", json=body)

    async def coins(self, user: str) -> int:
        return await self.money.coins(self.people[user])

    async def verify(self, user: str) -> None:
        await self.database.execute(
            "UPDATE users SET email_verified_at = now() WHERE id = $1", self.people[user].id
        )


async def money_world(
    database: Database,
    aiohttp_client: Callable[..., Awaitable[Any]],
    options: MoneyOptions | None = None,
    words: TipWords | None = None,
) -> MoneyWorld:
    money = Money(database, options or MoneyOptions(), words)
    people = {
        name: await Users(database).add(name, f"{name}@example.com", "hash", role)
        for name, role in (
            ("alice", Role.USER),
            ("bob", Role.USER),
            ("carol", Role.USER),
            ("admin", Role.ADMIN),
        )
    }
    room_id = await live_room(money, people["alice"])
    nouns = Nouns(
        WalletRoutes(money.wallets),
        GiftsRoutes(money.gifts),
        GiftCatalogueRoutes(GiftCatalogueService(database)),
    )
    api = await serve(nouns, database, aiohttp_client, *people.values())
    return MoneyWorld(money, people, room_id, api)


async def live_room(money: Money, owner: User, visibility: Visibility = Visibility.PUBLIC) -> UUID:
    room_id = await Rooms(money.database).add(owner.id, "A room", None, visibility)
    money.media.viewers[room_id] = 1
    return room_id
