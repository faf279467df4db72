"""Who may give what where, and what is paid for it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from control_api.errors import conflict, forbidden, not_found
from control_api.services.money import MAX_COINS, MoneyOptions, client_scope, insufficient_coins, key_reused
from control_api.services.playback import Denial, PlaybackAccess, denial_of, denied
from control_api.services.wallet import WalletService
from storage.database import Database
from storage.repositories.gift_orders import Asked, Facts, GiftOrders, GivenOnce, Payment, Platform
from storage.repositories.ledger import COIN, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts
from storage.repositories.playback import Standing
from storage.repositories.users import UserState


class LiveHere(Protocol):
    """Which rooms are live on this node; of others the database tells."""

    def is_live(self, room_id: UUID) -> bool: ...


class TipWords(Protocol):
    """What may be written beside a tip."""

    async def check(self, room_id: UUID, user_id: UUID, message: str) -> None:
        """Raises ApiError 403 ``message_refused`` for what the room's chat would not show at once."""


class AnyWords:
    """Implements TipWords where there is no chat."""

    async def check(self, room_id: UUID, user_id: UUID, message: str) -> None:
        return


@dataclass(frozen=True, slots=True)
class GiftParts:
    """``on_given`` is called after gifts were paid: there is news in the outbox."""

    accounts: LedgerAccounts
    wallets: WalletService
    access: PlaybackAccess
    live: LiveHere
    options: MoneyOptions = field(default_factory=MoneyOptions)
    on_given: Callable[[], None] = lambda: None
    words: TipWords = field(default_factory=AnyWords)


@dataclass(frozen=True, slots=True)
class Order:
    """A gift, or a tip of ``coins`` where there is no ``gift_id``."""

    sender_id: UUID
    room_id: UUID
    key: str
    gift_id: UUID | None = None
    quantity: int = 1
    coins: int = 0
    message: str = ""

    @property
    def fingerprint(self) -> str:
        if self.gift_id is None:
            return f"tip {self.room_id} {self.coins} {self.message}"
        return f"gift {self.room_id} {self.gift_id} {self.quantity}"

    @property
    def asked(self) -> Asked:
        return Asked(self.sender_id, self.room_id, client_scope(self.sender_id), self.key, self.gift_id)


class GiftRules:
    def __init__(self, database: Database, parts: GiftParts) -> None:
        self._orders = GiftOrders(database)
        self._parts = parts

    async def platform(self) -> Platform:
        currency = self._parts.options.currency
        coins, money = await self._parts.accounts.ids(
            [Account(AccountKind.PLATFORM, COIN), Account(AccountKind.PLATFORM, currency)]
        )
        return Platform(coins, money, currency)

    async def check_words(self, order: Order) -> None:
        """Of a tip that was not given before. Raises ApiError.

        Not to be waited for by others: to judge words may take long.
        """
        if not order.message:
            return
        (facts,) = await self._orders.facts([order.asked], self._parts.options.currency)
        if given_before(order, facts) is None:
            # First the rules, so that words tell nothing of a room that the sender may not know of.
            self._check(order, facts)
            await self._parts.words.check(order.room_id, order.sender_id, order.message)

    async def prepare(self, order: Order, facts: Facts) -> Payment | GivenOnce:
        """What is to be paid, or was given under the key before. Raises ApiError.

        Words must have been checked.
        """
        # Before all rules: what was paid for stays so when the room has ended meanwhile.
        if (given := given_before(order, facts)) is not None:
            return given
        standing = self._check(order, facts)
        if order.gift_id is not None and (facts.gift is None or not facts.gift.is_active):
            raise not_found("gift")
        if facts.is_owed_bonus and self._parts.options.welcome_coins:
            await self._parts.wallets.welcome(order.sender_id)
            (facts,) = await self._orders.facts([order.asked], self._parts.options.currency)
        return await self._payment(order, facts, standing)

    def _check(self, order: Order, facts: Facts) -> Standing:
        """Raises ApiError unless the sender may give in the room."""
        standing = facts.standing
        if standing is None:
            raise not_found("room")
        is_owner = standing.owner_id == order.sender_id
        denial = denial_of(standing)
        if denial is Denial.PRIVATE_ROOM or (standing.owner_state is not UserState.ACTIVE and not is_owner):
            raise not_found("room")
        if denial is not None:
            raise denied(denial)
        if is_owner:
            raise forbidden("own_room", "Nobody gives to themselves.")
        if facts.is_banned:
            raise forbidden("banned", "You are banned from this room.")
        if not facts.is_live and not self._parts.live.is_live(order.room_id):
            raise conflict("room_not_live", "Gifts can be given while the room is live.")
        return standing

    async def _payment(self, order: Order, facts: Facts, standing: Standing) -> Payment:
        options, gift = self._parts.options, facts.gift
        coins = order.coins if gift is None else gift.price_coins * order.quantity
        if coins > MAX_COINS or coins > facts.coins or facts.wallet_id is None:
            raise insufficient_coins()
        earnings_id = facts.earnings_id
        if earnings_id is None:
            account = Account(AccountKind.EARNINGS, options.currency, standing.owner_id)
            (earnings_id,) = await self._parts.accounts.ids([account])
        asked = order.asked
        return Payment(
            kind=TransferKind.TIP if gift is None else TransferKind.GIFT,
            scope=asked.scope,
            key=order.key,
            fingerprint=order.fingerprint,
            room_id=order.room_id,
            sender_id=order.sender_id,
            receiver_id=standing.owner_id,
            gift_id=order.gift_id,
            gift_slug=gift.slug if gift is not None else "",
            quantity=order.quantity,
            coins=coins,
            earned=options.earned(coins, facts.percent),
            message=order.message,
            wallet_id=facts.wallet_id,
            earnings_id=earnings_id,
        )


def given_before(order: Order, facts: Facts) -> GivenOnce | None:
    """What was done under the key. Raises ApiError 422 if that was something else."""
    before = facts.before
    if before is None:
        return None
    if before.given is None or before.fingerprint != order.fingerprint:
        raise key_reused()
    return before.given
