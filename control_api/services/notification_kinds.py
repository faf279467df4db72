"""What users are told of: every kind of notification, how it goes out by default, and its words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from storage.repositories.notifications_store import Channels

MAX_LINE_LENGTH: Final = 150
HOME: Final = "/"


class Kind(Enum):
    """Stored and part of the API; the data of each is described in KINDS."""

    FOLLOW = "follow"
    ROOM_STARTED = "room_started"
    CREATOR_DECISION = "creator_decision"
    REPORT_RESOLVED = "report_resolved"
    WEBHOOK_DISABLED = "webhook_disabled"
    PURCHASE = "purchase"
    SUBSCRIPTION = "subscription"
    SUBSCRIPTION_PAYMENT_FAILED = "subscription_payment_failed"
    SUBSCRIPTION_ENDED = "subscription_ended"
    PAYOUT_PAID = "payout_paid"
    PAYOUT_FAILED = "payout_failed"


@dataclass(frozen=True, slots=True)
class Words:
    """One line each. ``path`` is where a click leads, below the server's address."""

    title: str
    text: str
    path: str


@dataclass(frozen=True, slots=True)
class KindRules:
    """Nobody is mailed or pushed after ``lifetime``; that the row stays in the list is another matter."""

    defaults: Channels
    lifetime: timedelta
    words: Callable[[Mapping[str, Any]], Words]


def one_line(text: object) -> str:
    """``text`` of users, fit for a subject: printable, and not long."""
    printable = "".join(character if character.isprintable() else " " for character in str(text))
    return " ".join(printable.split())[:MAX_LINE_LENGTH]


def _follow(data: Mapping[str, Any]) -> Words:
    name = one_line(data.get("displayName", ""))
    return Words("New follower", f"{name} (@{one_line(data.get('username', ''))}) follows you now.", HOME)


def _room_started(data: Mapping[str, Any]) -> Words:
    name = one_line(data.get("displayName", ""))
    room = one_line(data.get("slug") or data.get("roomId", ""))
    return Words(f"{name} is live", one_line(data.get("title", "")), f"/watch/{room}")


def _creator_decision(data: Mapping[str, Any]) -> Words:
    is_approved = data.get("isApproved") is True
    answer = "You are a creator now." if is_approved else "Your application was declined."
    return Words("Your creator application", answer, HOME)


def _report_resolved(_data: Mapping[str, Any]) -> Words:
    return Words("Your report", "A moderator has dealt with what you reported. Thank you.", HOME)


def _webhook_disabled(data: Mapping[str, Any]) -> Words:
    address = one_line(data.get("url", ""))
    return Words("Webhook switched off", f"{address} failed for days and gets no more calls.", HOME)


def _subscription(data: Mapping[str, Any]) -> Words:
    name = one_line(data.get("displayName", ""))
    return Words("New subscriber", f"{name} subscribed to your plan {one_line(data.get('plan', ''))}.", HOME)


def _subscription_payment_failed(data: Mapping[str, Any]) -> Words:
    name = one_line(data.get("displayName", ""))
    text = f"A payment for your subscription to {name} failed. Check how you pay, or it will end."
    return Words("Payment failed", text, HOME)


def _subscription_ended(data: Mapping[str, Any]) -> Words:
    name = one_line(data.get("displayName", ""))
    return Words("Subscription ended", f"Your subscription to {name} has ended.", HOME)


def _purchase(data: Mapping[str, Any]) -> Words:
    bought = one_line(data.get("description", ""))
    match data.get("state"):
        case "paid":
            return Words("Purchase paid", f"{bought} are in your wallet.", HOME)
        case "refunded" | "partially_refunded":
            return Words(
                "Purchase refunded", f"The money for {bought} goes back, and the coins with it.", HOME
            )
        case _:
            return Words("Payment disputed", f"The coins of {bought} were taken back.", HOME)


def _payout_paid(data: Mapping[str, Any]) -> Words:
    return Words("Payout sent", f"{one_line(data.get('amountText', ''))} is on its way to your bank.", HOME)


def _payout_failed(data: Mapping[str, Any]) -> Words:
    text = f"{one_line(data.get('amountText', ''))} could not be paid out, and is back in your earnings."
    return Words("Payout failed", text, HOME)


_DAY: Final = timedelta(days=1)

KINDS: Final[Mapping[Kind, KindRules]] = {
    # userId, username, displayName of the follower
    Kind.FOLLOW: KindRules(Channels(True, False, False), _DAY, _follow),
    # roomId, slug, title; userId, username, displayName of its owner
    Kind.ROOM_STARTED: KindRules(Channels(True, False, True), timedelta(hours=1), _room_started),
    # isApproved
    Kind.CREATOR_DECISION: KindRules(Channels(True, True, True), 3 * _DAY, _creator_decision),
    # reportId
    Kind.REPORT_RESOLVED: KindRules(Channels(True, False, False), _DAY, _report_resolved),
    # endpointId, url
    Kind.WEBHOOK_DISABLED: KindRules(Channels(True, True, False), 3 * _DAY, _webhook_disabled),
    # purchaseId, description, state, coins, coinsTakenBack; mails of its own tell of it
    Kind.PURCHASE: KindRules(Channels(True, False, False), _DAY, _purchase),
    # userId, username, displayName of the subscriber; plan, months
    Kind.SUBSCRIPTION: KindRules(Channels(True, False, False), _DAY, _subscription),
    # subscriptionId, plan; userId, username, displayName of the creator
    Kind.SUBSCRIPTION_PAYMENT_FAILED: KindRules(
        Channels(True, True, False), 3 * _DAY, _subscription_payment_failed
    ),
    # the same
    Kind.SUBSCRIPTION_ENDED: KindRules(Channels(True, True, False), 3 * _DAY, _subscription_ended),
    # payoutId, amount, currency, amountText
    Kind.PAYOUT_PAID: KindRules(Channels(True, True, False), 3 * _DAY, _payout_paid),
    # the same
    Kind.PAYOUT_FAILED: KindRules(Channels(True, True, False), 3 * _DAY, _payout_failed),
}


def words_of(kind: str, data: Mapping[str, Any]) -> Words:
    """Of a stored notification; also of one whose kind only a newer version knows."""
    try:
        return KINDS[Kind(kind)].words(data)
    except ValueError:
        return Words("News for you", "", HOME)


def lifetime_of(kind: str) -> timedelta:
    try:
        return KINDS[Kind(kind)].lifetime
    except ValueError:
        return _DAY
