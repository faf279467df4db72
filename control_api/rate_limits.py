"""How much of the API one may use: budgets per user or address, counted in shared state.

An IPv6 address counts by its /64, the least that anybody is given.
"""

import math
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from control_api.errors import too_many
from control_api.principal import Principal
from control_api.routing import Limit
from storage.shared_state import SharedState

IPV6_HOST_BITS: Final = 64
_LONGEST_ADDRESS: Final = 64


@dataclass(frozen=True, slots=True)
class Budget:
    """So many requests in any window of so many seconds."""

    requests: int
    window_seconds: float


@dataclass(frozen=True, slots=True)
class RateLimitOptions:
    general: Budget = field(default_factory=lambda: Budget(300, 15 * 60))
    authentication: Budget = field(default_factory=lambda: Budget(5, 15 * 60))
    upload: Budget = field(default_factory=lambda: Budget(10, 60 * 60))
    provider: Budget = field(default_factory=lambda: Budget(6000, 60))

    def of(self, limit: Limit) -> Budget:
        match limit:
            case Limit.GENERAL:
                return self.general
            case Limit.AUTHENTICATION:
                return self.authentication
            case Limit.UPLOAD:
                return self.upload
            case Limit.PROVIDER:
                return self.provider


class RateLimits:
    """What the dispatcher asks before each call."""

    def __init__(self, state: SharedState, options: RateLimitOptions | None = None) -> None:
        self._state = state
        self._options = options or RateLimitOptions()

    async def check(self, limit: Limit, principal: Principal, address: str) -> dict[str, str]:
        """Take one request from the budget; the headers that say what is left of it.

        Raises ApiError 429 with the same headers when nothing is left.
        """
        budget = self._options.of(limit)
        key = f"rate:{limit.value}:{_payer(limit, principal, address)}"
        taken = await self._state.take(key, budget.requests, budget.window_seconds)
        reset_seconds = max(1, math.ceil(taken.reset_seconds))
        headers = {
            "RateLimit-Limit": str(budget.requests),
            "RateLimit-Remaining": str(taken.remaining),
            "RateLimit-Reset": str(reset_seconds),
        }
        if not taken.is_allowed:
            error = too_many(reset_seconds)
            error.headers.update(headers)
            raise error
        return headers


def address_group(address: str) -> str:
    """Who counts as one: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:_LONGEST_ADDRESS]
    return str(parsed) if isinstance(parsed, IPv4Address) else _ipv6_group(parsed)


def _ipv6_group(address: IPv6Address) -> str:
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    network = IPv6Address(int(address) >> IPV6_HOST_BITS << IPV6_HOST_BITS)
    return f"{network}/{128 - IPV6_HOST_BITS}"


def _payer(limit: Limit, principal: Principal, address: str) -> str:
    # Guessing a password is bounded by address, whoever one is signed in as meanwhile.
    if limit is Limit.AUTHENTICATION or principal.user_id is None:
        return f"address:{address_group(address)}"
    return f"user:{principal.user_id}"
