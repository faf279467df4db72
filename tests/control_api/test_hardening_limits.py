"""The budgets of those who guess, as the settings make them."""

import pytest

from control_api.errors import ApiError
from control_api.identity.throttle import LoginThrottle
from mediaserver.config import Settings
from mediaserver.config.settings import ApiSettings
from mediaserver.identity import login_limits
from storage.shared_state import LocalState

ATTEMPTS = 7


async def refused_after(throttle: LoginThrottle, attempts: list[tuple[str, str]]) -> int:
    """How many of ``attempts`` (account, address) are looked at."""
    for number, (account, address) in enumerate(attempts):
        try:
            await throttle.begin(account, address)
        except ApiError:
            return number
    return len(attempts)


@pytest.mark.parametrize(
    ("attempts", "most"),
    [
        ([("ada", "192.0.2.1")] * 1000, ATTEMPTS),
        ([("ada", f"192.0.2.{number}") for number in range(250)], 10 * ATTEMPTS),
        ([(f"user{number}", "192.0.2.1") for number in range(1000)], 20 * ATTEMPTS),
    ],
    ids=["one account from one address", "one account from anywhere", "anybody from one address"],
)
async def test_one_setting_scales_all_budgets(attempts: list[tuple[str, str]], most: int) -> None:
    settings = Settings(api=ApiSettings(authentications_per_window=ATTEMPTS))
    throttle = LoginThrottle(LocalState(), login_limits(settings.api))
    assert await refused_after(throttle, attempts) == most
