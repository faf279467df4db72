"""Subscribing to creators. What becomes of a subscription, the payment provider's events say alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from uuid import UUID

from control_api.errors import ApiError, conflict, forbidden, not_found, unauthorized
from control_api.pagination import Page, id_in, page_of
from control_api.payments.billing_ports import BillingProvider, SubscriptionOrder
from control_api.payments.ports import EventHandler
from control_api.services.money import MoneyOptions
from control_api.services.purchases import not_configured
from control_api.services.social import active_profile
from control_api.services.subscription_events import SubscriptionEvents
from control_api.services.subscription_ledger import accounts_of
from storage.database import Database
from storage.errors import Conflict
from storage.repositories.blocks import Blocks
from storage.repositories.ledger_accounts import LedgerAccounts
from storage.repositories.plans import Interval, Plans, Price
from storage.repositories.subscriptions import (
    ONE_LIVE,
    Checkout,
    Subscription,
    Subscriptions,
    SubscriptionState,
)
from storage.repositories.users import Users, UserState

_RUNNING: Final = frozenset(
    (SubscriptionState.ACTIVE, SubscriptionState.PAST_DUE, SubscriptionState.CANCELED)
)


@dataclass(frozen=True, slots=True)
class Subscribing:
    """``checkout_url`` is where it is to be paid."""

    subscription: Subscription
    checkout_url: str


class SubscriptionsService:
    """Without a ``provider`` nobody can subscribe."""

    def __init__(self, database: Database, provider: BillingProvider | None, options: MoneyOptions) -> None:
        self._database = database
        self._subscriptions = Subscriptions(database)
        self._plans = Plans(database)
        self._accounts = LedgerAccounts(database)
        self._known_provider = provider
        self._options = options

    @property
    def _provider(self) -> BillingProvider:
        if self._known_provider is None:
            raise not_configured()
        return self._known_provider

    def handlers(self) -> Mapping[str, EventHandler]:
        """What the provider's events do."""
        return SubscriptionEvents(self._provider, self._options).handlers()

    async def subscribe(self, user_id: UUID, plan_id: UUID, interval: Interval) -> Subscribing:
        """Raises ApiError 403, 404, 409, 502, 503. Asked again before it is paid, it gives the same page."""
        scope = self._provider.scope
        price = await self._offered(plan_id, interval)
        await self._check(user_id, price.creator_id)
        known = await self._subscriptions.live(user_id, price.creator_id)
        if known is not None:
            known = await self._unpaid(known, price, scope)
        if known is None:
            known = await self._add(user_id, price)
        checkout = known.checkout or await self._open_checkout(known, price)
        return Subscribing(await self.find(user_id, known.id), checkout.url)

    async def of_user(self, user_id: UUID, cursor: str | None, limit: int) -> Page[Subscription]:
        """The newest first."""
        found = await self._subscriptions.of_user(user_id, id_in(cursor), limit + 1)
        return page_of(found, limit, lambda subscription: (subscription.id,))

    async def find(self, user_id: UUID, subscription_id: UUID) -> Subscription:
        """Raises ApiError 404, also for somebody else's."""
        found = await self._subscriptions.find(subscription_id)
        if found is None or found.user_id != user_id:
            raise not_found("subscription")
        return found

    async def change(
        self, user_id: UUID, subscription_id: UUID, plan_id: UUID | None, interval: Interval | None
    ) -> Subscription:
        """Another plan of the same creator, or another interval. Raises ApiError 404, 409, 502, 503."""
        known, ref = await self._running(user_id, subscription_id)
        price = await self._offered(plan_id or known.plan_id, interval or known.interval)
        if price.creator_id != known.creator_id:
            raise conflict(
                "plan_of_another_creator", "That plan is of another creator: subscribe to it instead."
            )
        if price.id != known.standing.price_id:
            await self._provider.change_price(ref, price, await self._price_ref(price))
        return await self.find(user_id, subscription_id)

    async def resume(self, user_id: UUID, subscription_id: UUID) -> Subscription:
        """Let one that was canceled go on. Raises ApiError 404, 409, 502, 503."""
        known, ref = await self._running(user_id, subscription_id)
        if known.standing.cancels_at_end:
            await self._provider.cancel_at_period_end(ref, False)
        return await self.find(user_id, subscription_id)

    async def cancel(self, user_id: UUID, subscription_id: UUID) -> Subscription:
        """At the end of what is paid, or at once where nothing was. Raises ApiError 404, 409, 502, 503."""
        known = await self.find(user_id, subscription_id)
        if known.state is SubscriptionState.INCOMPLETE:
            await self._give_up(known)
        elif known.state is not SubscriptionState.ENDED and not known.standing.cancels_at_end:
            _, ref = await self._running(user_id, subscription_id)
            await self._provider.cancel_at_period_end(ref, True)
        return await self.find(user_id, subscription_id)

    async def _offered(self, plan_id: UUID, interval: Interval) -> Price:
        plan = await self._plans.find(plan_id)
        if plan is None:
            raise not_found("plan")
        price = await self._plans.current_price(plan_id, interval) if plan.is_active else None
        if price is None:
            raise _not_offered()
        return price

    async def _check(self, user_id: UUID, creator_id: UUID) -> None:
        """Raises ApiError unless the user may subscribe to the creator."""
        if creator_id == user_id:
            raise forbidden("own_plan", "Nobody subscribes to themselves.")
        try:
            profile = await active_profile(self._database, creator_id)
        except ApiError as error:
            raise not_found("plan") from error
        if not profile.is_creator:
            raise _not_offered()
        if await Blocks(self._database).has_blocked(creator_id, user_id):
            raise forbidden("blocked", "This creator has blocked you.")

    async def _unpaid(self, known: Subscription, price: Price, scope: str) -> Subscription | None:
        """``known``, if it is the same that nobody has paid yet; None if it is out of the way now."""
        if known.state is not SubscriptionState.INCOMPLETE:
            raise conflict("already_subscribed", "You have a subscription to this creator; change that one.")
        if known.provider != scope:
            await self._subscriptions.give_up(known.id)
            return None
        is_open = known.checkout is None or known.checkout.expires_at > datetime.now(UTC)
        if known.standing.price_id == price.id and is_open:
            return known
        await self._give_up(known)
        return None

    async def _give_up(self, known: Subscription) -> None:
        if known.may_be_opening(datetime.now(UTC)):
            raise _pending()
        if known.checkout is not None and not await self._provider.close_checkout(known.checkout.ref):
            raise _pending()
        await self._subscriptions.give_up(known.id)

    async def _add(self, user_id: UUID, price: Price) -> Subscription:
        try:
            added = await self._subscriptions.add(user_id, price.creator_id, price.id, self._provider.scope)
        except Conflict as error:
            if error.constraint != ONE_LIVE:
                raise
            raise conflict(
                "request_in_progress", "The same is being asked for; ask again shortly."
            ) from error
        return await self.find(user_id, added)

    async def _open_checkout(self, known: Subscription, price: Price) -> Checkout:
        user = await Users(self._database).find_by_id(known.user_id)
        if user is None or user.state is not UserState.ACTIVE:
            raise unauthorized()
        # Before money comes: accounts that are opened in a transaction make others wait for its end.
        await self._accounts.ids(accounts_of(price.currency, price.creator_id))
        order = SubscriptionOrder(known.id, price, await self._price_ref(price), user.email)
        checkout = await self._provider.open_checkout(order)
        if not await self._subscriptions.set_checkout(known.id, checkout):
            await self._provider.close_checkout(checkout.ref)
            raise _pending()
        return checkout

    async def _price_ref(self, price: Price) -> str:
        """What the provider calls it; it is told when somebody first wants it."""
        ref = await self._plans.provider_ref(price.id, self._provider.scope)
        if ref is None:
            ref = await self._provider.price_ref(price)
            await self._plans.add_provider_ref(price.id, self._provider.scope, ref)
        return ref

    async def _running(self, user_id: UUID, subscription_id: UUID) -> tuple[Subscription, str]:
        """And what the provider calls it. Raises ApiError 404, or 409 for one that cannot be changed."""
        known = await self.find(user_id, subscription_id)
        ref = known.standing.provider_ref
        if known.state not in _RUNNING or ref is None:
            raise conflict("subscription_not_running", "It is not paid, or has ended: subscribe again.")
        if known.provider != self._provider.scope:
            raise ApiError(
                HTTPStatus.CONFLICT,
                "payment_provider_changed",
                "It was paid by another payment provider than this server has now: ask its operator.",
            )
        return known, ref


def _pending() -> ApiError:
    return conflict("subscription_pending", "It is being opened or paid; look again in a moment.")


def _not_offered() -> ApiError:
    return conflict("plan_not_offered", "This plan is not offered any more, or not by that interval.")
