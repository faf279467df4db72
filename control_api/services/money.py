"""What all that moves money has in common: its settings, whose key a transfer has, and what is refused."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from uuid import UUID

from control_api.errors import ApiError

MAX_COINS: Final = 1_000_000_000
"""The most that one call moves."""
CURRENCY_PATTERN: Final = "^([a-fh-z][a-z]{2}|g[a-df-z][a-z]|ge[a-ln-z])$"
"""ISO 4217 in small letters. The ledger knows three letters that are no money, and would take them: gem."""
INSUFFICIENT: Final = (HTTPStatus.PAYMENT_REQUIRED, "insufficient_coins")

_DIGITS: Final = (
    dict.fromkeys(("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd"), 0)
    | dict.fromkeys(("vuv", "xaf", "xof", "xpf"), 0)
    | dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), 3)
)
"""How many digits of an amount are behind the point, where it is not two."""


@dataclass(frozen=True, slots=True)
class MoneyOptions:
    """``creator_percent`` of a gift is its creator's, where there is no override.

    A coin is worth ``coin_value`` minor units of ``currency``, an ISO 4217 code in small letters.
    """

    currency: str = "usd"
    coin_value: int = 1
    creator_percent: int = 70
    welcome_coins: int = 100

    def earned(self, coins: int, percent: int | None) -> int:
        """A creator's part of ``coins`` in minor units, rounded down: it is never more than the share."""
        share = self.creator_percent if percent is None else percent
        return coins * self.coin_value * share // 100


def client_scope(user_id: UUID) -> str:
    """Where the keys are unique that this user's programs choose."""
    return f"user:{user_id}"


def insufficient_coins() -> ApiError:
    return ApiError(*INSUFFICIENT, "There are not enough coins in the wallet.")


def key_reused() -> ApiError:
    """As for any other call: the same key, but something else is asked for."""
    return ApiError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "idempotency_key_reused",
        "This Idempotency-Key belongs to another request.",
    )


def written_amount(amount: int, currency: str) -> str:
    """Minor units as people write them: 1234 of usd is 12.34."""
    digits = _DIGITS.get(currency, 2)
    sign, text = "-" if amount < 0 else "", str(abs(amount)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else f"{sign}{text}"


def amount_text(amount: int, currency: str) -> str:
    """For people: ``USD 12.99``."""
    return f"{currency.upper()} {written_amount(amount, currency)}"
