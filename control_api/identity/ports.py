"""What identity needs of others."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from control_api.principal import Principal
from storage.shared_state import Allowance


class Counter(Protocol):
    """Counts attempts in sliding windows, for all nodes together."""

    async def take(self, key: str, limit: int, window_seconds: float) -> Allowance: ...

    async def forget(self, key: str) -> None: ...


class Mail(Protocol):
    async def send(self, to: str, subject: str, text: str) -> None: ...


class Codes(Protocol):
    """Codes that are mailed, good for a few tries and one use."""

    async def issue(self, user_id: UUID, purpose: str, lifetime: timedelta) -> str: ...

    async def redeem(self, user_id: UUID, purpose: str, code: str) -> bool: ...


class SecondFactor(Protocol):
    async def is_required(self, user_id: UUID) -> bool:
        """Whether this user has set one up."""

    async def verify(self, user_id: UUID, code: str) -> bool:
        """Whether ``code`` is right now; a right one is used up."""


class ApiKeyLookup(Protocol):
    async def principal_of(self, key: str) -> Principal | None:
        """Who has this API key; None when nobody may use it."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Whole coins and gems."""

    coins: int = 0
    gems: int = 0


class Wallets(Protocol):
    async def balance_of(self, user_id: UUID) -> Balance: ...


class NoSecondFactor:
    """Where nobody can have one."""

    async def is_required(self, _user_id: UUID) -> bool:
        return False

    async def verify(self, _user_id: UUID, _code: str) -> bool:
        return False


class NoApiKeys:
    """Where nobody can have one."""

    async def principal_of(self, _key: str) -> Principal | None:
        return None


class EmptyWallets:
    """Where there is no money."""

    async def balance_of(self, _user_id: UUID) -> Balance:
        return Balance()
