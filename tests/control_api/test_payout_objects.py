"""What Stripe may leave empty is understood all the same."""

from datetime import UTC, datetime
from typing import Any

import pytest

from control_api.payments.billing_objects import BilledSubscription, our_id, read
from control_api.payments.payout_objects import AccountObject, BankPayoutObject, TransferObject, payout_id_in
from control_api.payments.ports import ProviderEvent
from storage.repositories.payouts import Onboarding


def event(**data: Any) -> ProviderEvent:
    return ProviderEvent("evt_1", "x.y", datetime.now(UTC), data)


@pytest.mark.parametrize("model", [TransferObject, BankPayoutObject])
def test_no_metadata_names_no_payout(model: type[TransferObject] | type[BankPayoutObject]):
    assert payout_id_in(read(model, event(id="tr_1", metadata=None)).metadata) is None


def test_no_metadata_names_no_subscription():
    assert (
        our_id(read(BilledSubscription, event(id="sub_1", status="active", metadata=None)).metadata) is None
    )


def test_an_account_of_which_nothing_is_told():
    requirements = {"currently_due": None, "disabled_reason": None}
    told = event(id="acct_1", details_submitted=True, capabilities=None, requirements=requirements)
    assert read(AccountObject, told).standing.state is Onboarding.RESTRICTED
