"""From pending to paid or failed: the transfer at the provider, and what the provider says of it later.

Each step is one transaction and can be done again after a crash: an attempt is written down before the
provider is asked, under the payout's id, so the next one asks whether that was done already. What is not
known to have failed is never given back.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from control_api.errors import ApiError, conflict, not_found, unavailable
from control_api.payments.billing_objects import read
from control_api.payments.payout_objects import (
    AccountObject,
    BankPayoutObject,
    TransferObject,
    payout_id_in,
)
from control_api.payments.payout_ports import PayoutProvider, TransferOrder, TransferRefused
from control_api.payments.ports import EventHandler, ProviderEvent, TooEarly
from control_api.services.money import written_amount
from control_api.services.notification_kinds import KINDS, Kind
from control_api.services.notifications import announce
from control_api.services.payout_late import take_late
from control_api.services.payouts import PAYOUT_SCOPE, audit_payout
from storage.bus import Bus
from storage.database import Database, Transaction
from storage.repositories import Users
from storage.repositories.ledger import Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts
from storage.repositories.notifications_store import Added, News, NotificationStore
from storage.repositories.payouts import (
    Onboarding,
    Payout,
    PayoutAccounts,
    Payouts,
    PayoutState,
    ProviderName,
)

logger = structlog.get_logger("mediaserver.money")

LEASE: Final = timedelta(minutes=2)
"""So long an attempt has the payout for itself; the next pauses are twice as long each."""
PATIENCE_SECONDS: Final = 60.0
CANCELLED: Final = "An administrator cancelled it."


class PayoutSending:
    """Creators hear on ``bus`` how their payouts ended, too."""

    def __init__(
        self, database: Database, provider: PayoutProvider, bus: Bus, lease: timedelta = LEASE
    ) -> None:
        self._database = database
        self._bus = bus
        self._provider = provider
        self._lease = lease
        self._payouts = Payouts(database)

    def handlers(self) -> dict[str, EventHandler]:
        return {
            "transfer.reversed": self._take_back,
            "payout.failed": self._note_bank_failure,
            "account.updated": self._update_account,
        }

    async def send(self, payout_id: UUID) -> PayoutState | None:
        """How the payout stands afterwards; None if it is another's to send, or has ended."""
        payout = await self._payouts.claim(payout_id, self._lease)
        if payout is None:
            return None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                reference = await self._transferred(payout)
        except TransferRefused as error:
            if payout.attempts == 1:
                return await self._fail(payout, error.message)
            # Whatever the attempts before it asked for may be done yet: an administrator decides.
            logger.error("payout_refused_when_tried_again", payout_id=str(payout.id), reason=error.message)
            await self._payouts.note(payout.id, error.message)
            return PayoutState.PENDING
        except (ApiError, TimeoutError) as error:
            await self._payouts.note(payout.id, str(error) or "The payment provider did not answer in time.")
            return PayoutState.PENDING
        return await self._finish(payout, reference)

    async def cancel(self, actor_id: UUID, address: str, payout_id: UUID, is_unpaid: bool) -> Payout:
        """Give back what waits and was not sent. ``is_unpaid``: the administrator has seen that it was not.

        That counts where the provider cannot be asked, since the server has another one now. Raises ApiError:
        404 ``payout_not_found``, 409 ``payout_not_pending``, ``payout_being_sent``, ``payout_paid``,
        ``payout_maybe_paid``; 502, 503.
        """
        known = await self._payouts.find(payout_id)
        if known is None:
            raise not_found("payout")
        if known.state is not PayoutState.PENDING:
            raise conflict("payout_not_pending", "This payout has ended.")
        if known.attempts and not is_unpaid and not self._can_ask(known):
            raise conflict("payout_maybe_paid", "See at the provider of then whether this payout was paid.")
        # Nobody sends it while this looks; whatever an attempt before asked for has been done by now.
        payout = await self._payouts.claim(payout_id, self._lease, before_its_time=True)
        if payout is None or payout.attempts != known.attempts + 1:
            raise conflict("payout_being_sent", "It may be on its way just now; try again in a few minutes.")
        reference = await self._sent_before(payout)
        if reference is not None:
            await self._finish(payout, reference)
        else:
            await self._fail(payout, CANCELLED, (actor_id, address))
        ended = await self._payouts.find(payout_id)
        if ended is None or ended.state is not PayoutState.FAILED:
            raise conflict("payout_paid", "This payout has been paid.")
        return ended

    def _can_ask(self, payout: Payout) -> bool:
        """Whether it can be learned if the payout was sent. Payouts of the test provider move no money."""
        return payout.provider in (self._provider.name, ProviderName.DEMO)

    async def _sent_before(self, payout: Payout) -> str | None:
        """Raises ApiError."""
        if payout.provider is not self._provider.name:
            return None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._provider.find_transfer(payout.id)
        except TimeoutError as error:
            raise unavailable("The payment provider did not answer in time.") from error

    async def _transferred(self, payout: Payout) -> str:
        if payout.provider is not self._provider.name:
            # It may have been sent there, so it is not known to have failed.
            raise unavailable("The server has another payment provider now.")
        if payout.attempts > 1:
            found = await self._provider.find_transfer(payout.id)
            if found is not None:
                return found
        order = TransferOrder(payout.id, payout.account, payout.amount, payout.currency)
        return await self._provider.transfer(order)

    async def _finish(self, payout: Payout, reference: str) -> PayoutState:
        told: Sequence[Added] = ()
        async with self._database.transaction() as transaction:
            await Users(transaction).lock(payout.user_id)
            payouts = Payouts(transaction)
            if await payouts.set_paid(payout.id, reference):
                lines = await _lines(transaction, payout, AccountKind.PENDING_PAYOUT, AccountKind.PAYOUTS)
                await _post(transaction, TransferKind.PAYOUT_PAID, f"{payout.id}:paid", lines, "Payout")
                told = await _tell(transaction, payout, Kind.PAYOUT_PAID)
            elif await payouts.set_paid_late(payout.id, reference):
                logger.error("payout_paid_late", payout_id=str(payout.id), reference=reference)
                await take_late(transaction, payout)
                told = await _tell(transaction, payout, Kind.PAYOUT_PAID)
        announce(self._bus, told)
        logger.info("payout_paid", payout_id=str(payout.id), reference=reference)
        return PayoutState.PAID

    async def _fail(self, payout: Payout, problem: str, by: tuple[UUID, str] | None = None) -> PayoutState:
        """``by`` is the administrator who wants it so, and their address."""
        told: Sequence[Added] = ()
        async with self._database.transaction() as transaction:
            await Users(transaction).lock(payout.user_id)
            if await Payouts(transaction).set_failed(payout.id, problem):
                lines = await _lines(transaction, payout, AccountKind.PENDING_PAYOUT, AccountKind.EARNINGS)
                key = f"{payout.id}:returned"
                await _post(transaction, TransferKind.PAYOUT_RETURN, key, lines, "Payout failed")
                told = await _tell(transaction, payout, Kind.PAYOUT_FAILED)
                if by is not None:
                    await audit_payout(transaction, by, "payout.cancelled", payout.id, payout)
        announce(self._bus, told)
        logger.warning("payout_failed", payout_id=str(payout.id), reason=problem)
        return PayoutState.FAILED

    async def _take_back(self, transaction: Transaction, event: ProviderEvent) -> None:
        """Money came back from the creator's account at the provider, which says how much in all."""
        transfer = read(TransferObject, event)
        payout_id = await Payouts(transaction).find_by_reference(self._provider.name, transfer.id)
        payout = await self._paid(transaction, payout_id or payout_id_in(transfer.metadata))
        if payout is None:
            return
        returned = min(transfer.amount_reversed, payout.amount)
        more = returned - payout.returned
        if more <= 0:
            return
        await Payouts(transaction).set_returned(payout.id, returned, "The payment provider took it back.")
        lines = await _lines(transaction, payout, AccountKind.PAYOUTS, AccountKind.EARNINGS, more)
        key = f"{payout.id}:reversed:{returned}"
        await _post(transaction, TransferKind.PAYOUT_RETURN, key, lines, "Payout taken back")

    async def _note_bank_failure(self, transaction: Transaction, event: ProviderEvent) -> None:
        """The bank refused what had arrived at the provider, where it stays. Nothing moves here.

        The provider bundles what it pays out: often it is known of the account alone, not of which payouts.
        """
        refused = read(BankPayoutObject, event)
        problem = refused.failure_message or "The bank refused it."
        if refused.connected_account is not None:
            accounts = PayoutAccounts(transaction, self._provider.name)
            state, told_at = Onboarding.RESTRICTED, event.created_at
            await accounts.set_state(refused.connected_account, state, problem, told_at)
        payout = await self._paid(transaction, payout_id_in(refused.metadata))
        if payout is None:
            return
        await Payouts(transaction).set_returned(payout.id, payout.returned, problem)
        logger.warning("payout_refused_by_bank", payout_id=str(payout.id), reason=problem)

    async def _update_account(self, transaction: Transaction, event: ProviderEvent) -> None:
        standing = read(AccountObject, event).standing
        accounts = PayoutAccounts(transaction, self._provider.name)
        await accounts.set_state(standing.account, standing.state, standing.problem, event.created_at)

    async def _paid(self, transaction: Transaction, payout_id: UUID | None) -> Payout | None:
        """The payout, locked; None unless it is one that this provider has paid.

        Raises TooEarly for one of which this server does not know yet that it was paid.
        """
        payout = await Payouts(transaction).find(payout_id) if payout_id is not None else None
        if payout is None or payout.provider is not self._provider.name:
            return None
        await Users(transaction).lock(payout.user_id)
        payout = await Payouts(transaction).lock(payout.id)
        if payout is not None and payout.state is PayoutState.PENDING:
            raise TooEarly
        return payout if payout is not None and payout.state is PayoutState.PAID else None


async def _lines(
    transaction: Transaction,
    payout: Payout,
    source: AccountKind,
    target: AccountKind,
    amount: int | None = None,
) -> tuple[Line, Line]:
    """``amount`` is the whole one, if not given."""
    moved = payout.amount if amount is None else amount
    owners = [None if kind is AccountKind.PAYOUTS else payout.user_id for kind in (source, target)]
    taken, given = await LedgerAccounts(transaction).ids(
        [Account(source, payout.currency, owners[0]), Account(target, payout.currency, owners[1])]
    )
    return Line(taken, -moved), Line(given, moved)


async def _tell(transaction: Transaction, payout: Payout, kind: Kind) -> Sequence[Added]:
    """The creator, once, as it is written down how the payout ended."""
    text = f"{written_amount(payout.amount, payout.currency)} {payout.currency.upper()}"
    data = {
        "payoutId": str(payout.id),
        "amount": payout.amount,
        "currency": payout.currency,
        "amountText": text,
    }
    news = News(kind.value, data, str(payout.id))
    return await NotificationStore(transaction).add([payout.user_id], news, KINDS[kind].defaults)


async def _post(
    transaction: Transaction, kind: TransferKind, key: str, lines: tuple[Line, Line], reason: str
) -> None:
    await Ledger(transaction).post(NewTransfer(kind, PAYOUT_SCOPE, key, kind.value, lines, reason))
