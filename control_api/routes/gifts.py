"""Gifts and tips in live rooms, and who gave most."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from control_api.idempotency import REPLAYED, idempotency_key
from control_api.pagination import Page
from control_api.principal import Access
from control_api.routes.wallet import Wallet, wallet_view
from control_api.routing import Call, Reply, Route
from control_api.schemas import Body, Data, PageQuery, Query, UserSummary
from control_api.services.account_view import avatar_address
from control_api.services.gift_till import Paid
from control_api.services.gifts import (
    LEADERS,
    MAX_MESSAGE,
    MAX_QUANTITY,
    MAX_TIP,
    MIN_TIP,
    Board,
    GiftsService,
)
from control_api.services.money import INSUFFICIENT
from control_api.services.playback import Denial
from control_api.texts import LINE_PATTERN
from storage.repositories.gifts import Animation, Gift, Given, Period

ROOM_NOT_FOUND = (HTTPStatus.NOT_FOUND, "room_not_found")
MESSAGE_REFUSED = (HTTPStatus.FORBIDDEN, "message_refused")
REFUSALS = (
    INSUFFICIENT,
    (HTTPStatus.FORBIDDEN, "own_room"),
    (HTTPStatus.FORBIDDEN, "banned"),
    *(
        (HTTPStatus.FORBIDDEN, denial.value)
        for denial in (Denial.FOLLOWERS_ONLY, Denial.SUBSCRIBERS_ONLY, Denial.BLOCKED)
    ),
    (HTTPStatus.CONFLICT, "room_not_live"),
)


class GiftView(Data):
    """``picture`` is an address or an emoji; ``animation`` a hint for how to show it."""

    id: UUID
    slug: str
    name: str
    price_coins: int
    picture: str
    animation: Animation


class NewGift(Body):
    gift_id: UUID
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)] = 1


class NewTip(Body):
    """``message`` is shown in the room."""

    coins: Annotated[int, Meta(ge=MIN_TIP, le=MAX_TIP)]
    message: Annotated[str, Meta(max_length=MAX_MESSAGE, pattern=LINE_PATTERN)] = ""


class GiftTransactionView(Data):
    """``combo`` counts the same gift, given again within seconds. ``giftId`` is null for a tip."""

    id: UUID
    gift_id: UUID | None
    quantity: int
    coins: int
    combo: int
    message: str
    created_at: datetime


class PaidView(Data):
    """``wallet`` is what is left."""

    gift_transaction: GiftTransactionView
    wallet: Wallet


class SentGift(Data):
    id: UUID
    room_id: UUID
    user: UserSummary
    gift_id: UUID | None
    gift: str
    quantity: int
    coins: int
    combo: int
    message: str
    created_at: datetime


class ReceivedGift(SentGift):
    """``earned`` is in minor units of ``currency``."""

    earned: int
    currency: str


class LeaderboardQuery(Query):
    """Days and weeks, which begin on Mondays, are those of UTC."""

    period: Period = Period.DAY
    limit: Annotated[int, Meta(ge=1, le=LEADERS)] = 10


class LeaderView(Data):
    user: UserSummary
    coins: int


class Leaderboard(Data):
    """``totalCoins`` and ``totalGifts``, tips too, are what the room got in all, whatever the period."""

    period: Period
    leaders: list[LeaderView]
    total_coins: int
    total_gifts: int


class GiftsRoutes:
    def __init__(self, gifts: GiftsService) -> None:
        self._gifts = gifts

    def routes(self) -> list[Route]:
        return [*self._lists(), *self._giving()]

    def _lists(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/gifts",
                self.list,
                "What can be given, the cheapest first",
                query=PageQuery,
                response=list[GiftView],
                scope="rooms:read",
            ),
            Route(
                "GET",
                "/gifts/sent",
                self.sent,
                "Gifts and tips that one gave, the newest first",
                Access.USER,
                query=PageQuery,
                response=list[SentGift],
            ),
            Route(
                "GET",
                "/gifts/received",
                self.received,
                "Gifts and tips that one got, the newest first",
                Access.USER,
                query=PageQuery,
                response=list[ReceivedGift],
            ),
            Route(
                "GET",
                "/rooms/{id}/leaderboard",
                self.leaderboard,
                "Who gave most in a room",
                query=LeaderboardQuery,
                response=Leaderboard,
                errors=(ROOM_NOT_FOUND,),
                scope="rooms:read",
            ),
        ]

    def _giving(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/rooms/{id}/gifts",
                self.give,
                "Give something in a live room",
                Access.USER,
                body=NewGift,
                response=PaidView,
                status=HTTPStatus.CREATED,
                errors=(ROOM_NOT_FOUND, (HTTPStatus.NOT_FOUND, "gift_not_found"), *REFUSALS),
                needs_idempotency_key=True,
                has_own_keys=True,
            ),
            Route(
                "POST",
                "/rooms/{id}/tips",
                self.tip,
                "Tip in a live room",
                Access.USER,
                body=NewTip,
                response=PaidView,
                status=HTTPStatus.CREATED,
                errors=(ROOM_NOT_FOUND, MESSAGE_REFUSED, *REFUSALS),
                needs_idempotency_key=True,
                has_own_keys=True,
            ),
        ]

    async def list(self, call: Call[None, PageQuery]) -> Page[GiftView]:
        return (await self._gifts.offered(call.query.cursor, call.query.limit)).map(_gift)

    async def sent(self, call: Call[None, PageQuery]) -> Page[SentGift]:
        return (await self._gifts.sent(call.user_id, call.query.cursor, call.query.limit)).map(_sent)

    async def received(self, call: Call[None, PageQuery]) -> Page[ReceivedGift]:
        page = await self._gifts.received(call.user_id, call.query.cursor, call.query.limit)
        return page.map(_received)

    async def give(self, call: Call[NewGift, None]) -> Reply:
        room_id, key = call.path_id("id", "room"), idempotency_key(call.request)
        body = call.body
        return _paid(await self._gifts.give(call.user_id, room_id, key, body.gift_id, body.quantity))

    async def tip(self, call: Call[NewTip, None]) -> Reply:
        room_id, key = call.path_id("id", "room"), idempotency_key(call.request)
        return _paid(await self._gifts.tip(call.user_id, room_id, key, call.body.coins, call.body.message))

    async def leaderboard(self, call: Call[None, LeaderboardQuery]) -> Leaderboard:
        room_id, query = call.path_id("id", "room"), call.query
        board = await self._gifts.board(call.principal.user_id, room_id, query.period, query.limit)
        return _board(board, query.period)


def _gift(gift: Gift) -> GiftView:
    return GiftView(
        id=gift.id,
        slug=gift.slug,
        name=gift.name,
        price_coins=gift.price_coins,
        picture=gift.picture,
        animation=gift.animation,
    )


def _paid(paid: Paid) -> Reply:
    given = paid.given
    transaction = GiftTransactionView(
        id=given.id,
        gift_id=given.gift_id,
        quantity=given.quantity,
        coins=given.coins,
        combo=given.combo,
        message=given.message,
        created_at=given.created_at,
    )
    view = PaidView(gift_transaction=transaction, wallet=wallet_view(paid.wallet))
    return Reply(view, headers=REPLAYED if paid.is_replay else {})


def _sent(given: Given) -> SentGift:
    return SentGift(
        id=given.id,
        room_id=given.room_id,
        user=_other(given),
        gift_id=given.gift_id,
        gift=given.gift_slug,
        quantity=given.quantity,
        coins=given.coins,
        combo=given.combo,
        message=given.message,
        created_at=given.created_at,
    )


def _received(given: Given) -> ReceivedGift:
    return ReceivedGift(
        id=given.id,
        room_id=given.room_id,
        user=_other(given),
        gift_id=given.gift_id,
        gift=given.gift_slug,
        quantity=given.quantity,
        coins=given.coins,
        combo=given.combo,
        message=given.message,
        created_at=given.created_at,
        earned=given.earned,
        currency=given.currency,
    )


def _other(given: Given) -> UserSummary:
    return UserSummary(
        id=given.other_id,
        username=given.other_name,
        display_name=given.other_display_name,
        avatar=avatar_address(given.other_avatar),
    )


def _board(board: Board, period: Period) -> Leaderboard:
    leaders = [
        LeaderView(
            user=UserSummary(
                id=leader.user_id,
                username=leader.username,
                display_name=leader.display_name,
                avatar=avatar_address(leader.avatar),
            ),
            coins=leader.coins,
        )
        for leader in board.leaders
    ]
    return Leaderboard(period=period, leaders=leaders, total_coins=board.coins, total_gifts=board.gifts)
