"""The provider's objects that payouts read, as Stripe describes them. What is signed may be of any shape."""

from collections.abc import Mapping
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from control_api.payments.payout_ports import Standing
from storage.repositories.payouts import MAX_PROBLEM, Onboarding

PAYOUT_ID: Final = "payout_id"
"""In the metadata of a transfer at the provider."""

Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
Line = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*$")]


class TransferObject(msgspec.Struct):
    """``amount_reversed`` is all that came back so far."""

    id: Name
    amount_reversed: Annotated[int, Meta(ge=0, le=2**62)] = 0
    metadata: dict[str, str] | None = None


class BankPayoutObject(msgspec.Struct):
    """From the provider to the creator's bank. ``connected_account`` is that of the creator."""

    connected_account: Name | None = None
    failure_message: Line | None = None
    metadata: dict[str, str] | None = None


class Requirements(msgspec.Struct):
    disabled_reason: Line | None = None
    currently_due: list[Line] | None = None


class Capabilities(msgspec.Struct):
    transfers: str = "inactive"


class AccountObject(msgspec.Struct):
    id: Name
    payouts_enabled: bool = False
    details_submitted: bool = False
    requirements: Requirements | None = None
    capabilities: Capabilities | None = None

    @property
    def standing(self) -> Standing:
        capabilities = self.capabilities or Capabilities()
        if self.payouts_enabled and capabilities.transfers == "active":
            return Standing(self.id, Onboarding.ACTIVE)
        if not self.details_submitted:
            return Standing(self.id, Onboarding.PENDING)
        wanted = self.requirements or Requirements()
        reason = ", ".join(wanted.currently_due or ()) or wanted.disabled_reason
        problem = reason or "The payment provider is checking the account."
        return Standing(self.id, Onboarding.RESTRICTED, problem[:MAX_PROBLEM])


def payout_id_in(metadata: Mapping[str, str] | None) -> UUID | None:
    try:
        return UUID((metadata or {}).get(PAYOUT_ID, ""))
    except ValueError:
        return None
