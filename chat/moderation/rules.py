"""What a room's settings say about a message. Pure: no clock, no database, no memory."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from chat.errors import Refusal
from chat.moderation.emotes import is_emotes_only
from chat.moderation.links import has_link
from chat.moderation.terms import Match
from storage.repositories.blocked_terms import TermAction
from storage.repositories.chat_people import RoomPerson
from storage.repositories.chat_rooms import ChatSettings, LinkPolicy
from storage.repositories.users import Role, UserState

_STAFF: Final = frozenset((Role.MODERATOR, Role.ADMIN, Role.SUPERADMIN))


class Action(Enum):
    """What becomes of a message: a SHADOWed one is shown to its author alone."""

    ALLOW = "allow"
    HOLD = "hold"
    REFUSE = "refuse"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class Decision:
    """``refusal`` is there for REFUSE, ``reason`` tells moderators why it is held."""

    action: Action
    refusal: Refusal | None = None
    reason: str | None = None


ALLOWED: Final = Decision(Action.ALLOW)


def is_staff(person: RoomPerson) -> bool:
    return person.site_role in _STAFF


def is_exempt(person: RoomPerson) -> bool:
    """Whether modes and terms are not for ``person``: the owner, moderators, staff."""
    return person.is_owner or person.is_moderator or is_staff(person)


def judge(
    settings: ChatSettings,
    person: RoomPerson | None,
    text: str,
    now: datetime,
    *,
    term: Match | None = None,
) -> Decision:
    """``text`` as ``clean`` gives it, ``term`` what of the room's terms it holds; ``person`` None is nobody.

    Somebody under a shadow ban meets the same refusals as others, so that they do not learn of it.
    """
    refusal = refusal_of_person(person, now)
    if refusal is not None or person is None:
        return Decision(Action.REFUSE, refusal)
    decision = ALLOWED
    if not is_exempt(person):
        refusal = _refusal_of_modes(settings, person, now)
        decision = Decision(Action.REFUSE, refusal) if refusal else _judge_text(settings, text, term)
    if is_shadowed(person, now) and decision.action is not Action.REFUSE:
        return Decision(Action.SHADOW)
    return decision


def refusal_of_person(person: RoomPerson | None, now: datetime) -> Refusal | None:
    """Why ``person`` may say nothing at all here."""
    if person is None:
        return Refusal("sign_in_required", "Sign in to write.")
    if person.state is not UserState.ACTIVE:
        return Refusal("account_suspended", "The account is not active.")
    ban = person.ban
    if ban is None or ban.is_shadow:
        return None
    if ban.until is None:
        return Refusal("banned", "You are banned from this chat.")
    remaining = (ban.until - now).total_seconds()
    if remaining <= 0:
        return None
    return Refusal("timed_out", "You were timed out from this chat.", remaining)


def is_shadowed(person: RoomPerson, now: datetime) -> bool:
    ban = person.ban
    return ban is not None and ban.is_shadow and (ban.until is None or ban.until > now)


def _refusal_of_modes(settings: ChatSettings, person: RoomPerson, now: datetime) -> Refusal | None:
    if settings.followers_only_seconds is not None:
        refusal = _refusal_of_followers(settings.followers_only_seconds, person.followed_at, now)
        if refusal is not None:
            return refusal
    if settings.subscribers_only and not person.is_subscriber:
        return Refusal("subscribers_only", "Only subscribers may write here.")
    return None


def _refusal_of_followers(seconds: int, followed_at: datetime | None, now: datetime) -> Refusal | None:
    if followed_at is None:
        return Refusal("followers_only", "Only followers may write here.")
    # As seconds: a timedelta cannot hold every number that the setting can.
    remaining = seconds - (now - followed_at) / timedelta(seconds=1)
    if seconds == 0 or remaining <= 0:
        return None
    return Refusal("followers_only", "You may write here once you have followed for longer.", remaining)


def _judge_text(settings: ChatSettings, text: str, term: Match | None) -> Decision:
    """Refusals go before holds, whichever rule they come from."""
    if settings.emote_only and not is_emotes_only(text):
        return Decision(Action.REFUSE, Refusal("emote_only", "Only emotes may be written here."))
    holds_link = settings.links is not LinkPolicy.ALLOW and has_link(text)
    if holds_link and settings.links is LinkPolicy.REFUSE:
        return Decision(Action.REFUSE, Refusal("links_not_allowed", "Links are not allowed here."))
    if term is not None and term.action is TermAction.REFUSE:
        return Decision(Action.REFUSE, Refusal("blocked_term", "The message holds a word that is blocked."))
    if term is not None:
        return Decision(Action.HOLD, reason=f"blocked_term: {term.term}" if term.term else "blocked_term")
    return Decision(Action.HOLD, reason="link") if holds_link else ALLOWED
