"""In the place of a payment provider where there is none: nobody can be paid, and everything says so."""

from http import HTTPStatus
from typing import Final
from uuid import UUID

from control_api.errors import ApiError
from control_api.payments.payout_ports import OnboardingLinks, Standing, TransferOrder
from storage.repositories.payouts import ProviderName


class NoPayouts:
    """Implements PayoutProvider. It has the name of the one that the operator may yet set up."""

    name: Final = ProviderName.STRIPE

    async def open_account(self, user_id: UUID, email: str) -> str:
        raise _not_configured()

    async def onboarding_url(self, account: str, links: OnboardingLinks) -> str:
        raise _not_configured()

    async def standing(self, account: str) -> Standing:
        raise _not_configured()

    async def transfer(self, order: TransferOrder) -> str:
        raise _not_configured()

    async def find_transfer(self, payout_id: UUID) -> str | None:
        raise _not_configured()


def _not_configured() -> ApiError:
    return ApiError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "payments_not_configured",
        "This server cannot pay anybody yet: its operator has to set stripe.secret_key and"
        " stripe.webhook_secret.",
    )
