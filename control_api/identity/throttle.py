"""Guessing passwords: attempts that fail take longer and longer, then none is looked at for a while.

Three budgets, because each alone has a way around it:

* one account from one address, small: the ordinary guesser;
* one account from anywhere, larger: many addresses guessing together. It is larger because it also shuts out
  the account's owner;
* one address for any account: one password tried on everybody.

Attempts are counted before the password is looked at, so that those at the same time count, too.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import ceil
from uuid import UUID

from control_api.errors import too_many
from control_api.identity.ports import Counter
from control_api.rate_limits import address_group


@dataclass(frozen=True, slots=True)
class LoginLimits:
    """Attempts within ``window_seconds``; the delay doubles with each failure after the second."""

    account_and_address: int = 5
    account: int = 50
    address: int = 100
    window_seconds: float = 15 * 60
    first_delay_seconds: float = 0.25
    longest_delay_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that was allowed; ``number`` of its account and address, from 1."""

    keys: tuple[str, ...]
    number: int


def confirmation_of(user_id: UUID) -> str:
    """The account as named where somebody signed in shows the password again: one budget for all of that."""
    return f"confirm:{user_id}"


class LoginThrottle:
    """``begin`` before an attempt, then ``failed`` or ``succeeded``."""

    def __init__(
        self,
        counter: Counter,
        limits: LoginLimits | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._counter = counter
        self._limits = limits or LoginLimits()
        self._sleep = sleep

    async def begin(self, account: str, address: str) -> Attempt:
        """``account`` is any name for it, known or not. Raises ApiError 429."""
        limits = self._limits
        name = hashlib.sha256(account.casefold().encode("utf-8", "replace")).hexdigest()
        group = address_group(address)
        pair, account_key = f"login:pair:{name}:{group}", f"login:account:{name}"
        await self._take(f"login:address:{group}", limits.address)
        remaining = await self._take(pair, limits.account_and_address)
        await self._take(account_key, limits.account)
        return Attempt((pair, account_key), limits.account_and_address - remaining)

    async def failed(self, attempt: Attempt) -> None:
        """Return after the delay that this many failures have earned."""
        limits = self._limits
        if attempt.number > 2:
            delay = limits.first_delay_seconds * 2.0 ** (attempt.number - 3)
            await self._sleep(min(delay, limits.longest_delay_seconds))

    async def succeeded(self, attempt: Attempt) -> None:
        """The owner is back: what others tried before no longer counts. The address keeps its count."""
        for key in attempt.keys:
            await self._counter.forget(key)

    async def _take(self, key: str, limit: int) -> int:
        allowance = await self._counter.take(key, limit, self._limits.window_seconds)
        if not allowance.is_allowed:
            raise too_many(max(1, ceil(allowance.reset_seconds)))
        return allowance.remaining
