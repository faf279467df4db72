"""What payouts need of a payment provider."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from storage.repositories.payouts import Onboarding, ProviderName


class TransferRefused(Exception):
    """The provider did not move the money, and will not. ``message`` is for people."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """The payout's id is the key under which the provider does it once. Minor units of ``currency``."""

    payout_id: UUID
    account: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether an account can be paid, and what is missing."""

    account: str
    state: Onboarding
    problem: str = ""


@dataclass(frozen=True, slots=True)
class OnboardingLinks:
    """Where the provider sends the creator: when done, and when its page has expired."""

    done: str
    expired: str


class PayoutProvider(Protocol):
    """Each method raises ApiError 502 or 503 when the provider does not answer as it should.

    Whether it has done what was asked is open then: ask again, or look.
    """

    @property
    def name(self) -> ProviderName: ...

    async def open_account(self, user_id: UUID, email: str) -> str:
        """The name of the user's account there; the same one if it was opened before."""
        ...

    async def onboarding_url(self, account: str, links: OnboardingLinks) -> str:
        """Where the creator tells the provider who they are."""
        ...

    async def standing(self, account: str) -> Standing: ...

    async def transfer(self, order: TransferOrder) -> str:
        """Move the money once, whenever it is asked for again; the name of the transfer.

        Raises TransferRefused.
        """
        ...

    async def find_transfer(self, payout_id: UUID) -> str | None:
        """The name of the transfer, if there is one."""
        ...
