"""TEST: payouts that move no money, for servers without Stripe that are not for real.

The onboarding is a page with two buttons; what they do comes back as signed events, as from Stripe.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

import jwt

from control_api.payments.demo_events import DemoEvents
from control_api.payments.payout_ports import OnboardingLinks, Standing, TransferOrder
from control_api.routing import PREFIX
from storage.repositories.payouts import Onboarding, ProviderName

ALGORITHM: Final = "HS256"
AUDIENCE: Final = "test-onboarding"
PATH: Final = "/payouts/test-onboarding"
MAX_TOKEN: Final = 4096
LIFETIME: Final = timedelta(minutes=10)


class DemoOutcome(Enum):
    """How the test page can be left."""

    ACTIVE = "active"
    RESTRICTED = "restricted"


class DemoPayouts:
    """TEST. Implements PayoutProvider without remembering anything; its page is at ``base_url``."""

    name: Final = ProviderName.DEMO

    def __init__(self, secret: str, base_url: Callable[[], str]) -> None:
        self._secret = secret
        self._base_url = base_url

    async def open_account(self, user_id: UUID, email: str) -> str:
        return f"acct_test_{user_id.hex}"

    async def onboarding_url(self, account: str, links: OnboardingLinks) -> str:
        claims = {
            "aud": AUDIENCE,
            "exp": datetime.now(UTC) + LIFETIME,
            "sub": account,
        }
        token = jwt.encode(claims, self._secret, ALGORITHM)
        return f"{self._base_url().rstrip('/')}{PREFIX}{PATH}/{token}"

    async def standing(self, account: str) -> Standing:
        """Who pressed the button was told of by an event."""
        return Standing(account, Onboarding.PENDING)

    async def transfer(self, order: TransferOrder) -> str:
        return f"tr_test_{order.payout_id.hex}"

    async def find_transfer(self, payout_id: UUID) -> str | None:
        return None

    def account_of(self, token: str) -> str | None:
        """Whose page it is; None for an address that is none, or has expired."""
        if len(token) > MAX_TOKEN:
            return None
        try:
            claims = jwt.decode(
                token,
                self._secret,
                [ALGORITHM],
                audience=AUDIENCE,
                options={"require": ["exp", "sub"]},
            )
        except jwt.InvalidTokenError:
            return None
        account: str = claims["sub"]
        return account


class DemoOnboarding:
    """What the buttons of the test page do."""

    def __init__(self, provider: DemoPayouts, events: DemoEvents) -> None:
        self.provider: Final = provider
        self._events = events

    async def leave(self, account: str, outcome: DemoOutcome) -> None:
        """Raises ApiError."""
        is_active = outcome is DemoOutcome.ACTIVE
        await self._events.send(
            "account.updated",
            {
                "id": account,
                "object": "account",
                "payouts_enabled": is_active,
                "details_submitted": True,
                "capabilities": {"transfers": "active" if is_active else "inactive"},
                "requirements": {"currently_due": [] if is_active else ["test.document"]},
            },
        )
