"""Payouts by Stripe Connect: transfers to creators' Express accounts, which Stripe pays out to their banks.

https://docs.stripe.com/connect/separate-charges-and-transfers
"""

from typing import Final
from uuid import UUID

import msgspec
import stripe

from control_api.errors import ApiError, unavailable
from control_api.payments.payout_objects import PAYOUT_ID, AccountObject
from control_api.payments.payout_ports import OnboardingLinks, Standing, TransferOrder, TransferRefused
from control_api.payments.stripe_client import StripeApi
from storage.repositories.payouts import Onboarding, ProviderName

USER_ID: Final = "user_id"
PASSING: Final = frozenset(
    (
        "balance_insufficient",
        "idempotency_key_in_use",
        "lock_timeout",
        "rate_limit",
        "api_key_expired",
        "platform_api_key_expired",
    )
)
"""Codes of refusals that are the operator's to end, or end by themselves: the payout waits for that."""
GONE: Final = "Stripe does not let this account be paid any more."


class StripePayouts:
    """Implements PayoutProvider."""

    name: Final = ProviderName.STRIPE

    def __init__(self, api: StripeApi) -> None:
        self._api = api

    async def open_account(self, user_id: UUID, email: str) -> str:
        accounts = self._api.client.v1.accounts
        params: stripe.params.AccountCreateParams = {
            "type": "express",
            "capabilities": {"transfers": {"requested": True}},
            "metadata": {USER_ID: str(user_id)},
        }
        # Stripe refuses addresses without a domain, such as those of the first administrator.
        if "." in email.rpartition("@")[2]:
            params["email"] = email
        key = f"payout-account-{user_id}"
        account = await self._api.ask(accounts.create_async(params, {"idempotency_key": key}))
        return account.id

    async def onboarding_url(self, account: str, links: OnboardingLinks) -> str:
        call = self._api.client.v1.account_links.create_async(
            {
                "account": account,
                "type": "account_onboarding",
                "return_url": links.done,
                "refresh_url": links.expired,
            }
        )
        return (await self._api.ask(call)).url

    async def standing(self, account: str) -> Standing:
        try:
            found = await self._api.ask(self._api.client.v1.accounts.retrieve_async(account))
        except ApiError as error:
            if _is_refused(error):
                return Standing(account, Onboarding.RESTRICTED, GONE)
            raise
        try:
            return msgspec.convert(found.to_dict(), AccountObject).standing
        except msgspec.ValidationError as error:
            raise unavailable("The payment provider's answer cannot be read; try again later.") from error

    async def transfer(self, order: TransferOrder) -> str:
        call = self._api.client.v1.transfers.create_async(
            {
                "amount": order.amount,
                "currency": order.currency,
                "destination": order.account,
                "transfer_group": str(order.payout_id),
                "metadata": {PAYOUT_ID: str(order.payout_id)},
            },
            {"idempotency_key": str(order.payout_id)},
        )
        try:
            return (await self._api.ask(call)).id
        except ApiError as error:
            if _is_refused(error):
                raise TransferRefused(GONE) from error
            raise

    async def find_transfer(self, payout_id: UUID) -> str | None:
        """Keys of Stripe's are forgotten after a day, what was done under them is not."""
        call = self._api.client.v1.transfers.list_async({"transfer_group": str(payout_id), "limit": 1})
        found = (await self._api.ask(call)).data
        return found[0].id if found else None


def _is_refused(error: ApiError) -> bool:
    """Whether Stripe said that it has not done this, and never will as it was asked."""
    cause = error.__cause__
    if isinstance(cause, stripe.PermissionError):
        # Otherwise it is the operator's key that may not do it.
        return cause.error is not None and cause.error.code == "account_invalid"
    return isinstance(cause, stripe.InvalidRequestError) and cause.code not in PASSING
