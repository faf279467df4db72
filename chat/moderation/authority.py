"""Who may do what to whom in a room's chat. Pure.

Staff of the site, the room's owner and its moderators moderate. Nobody moderates the owner or staff, and
moderators do not moderate moderators. A moderator who is banned or timed out is none as long as that lasts.
"""

from datetime import datetime

from chat.errors import Refusal
from chat.moderation.rules import is_staff
from storage.repositories.chat_people import RoomPerson
from storage.repositories.users import UserState


def may_moderate(person: RoomPerson, now: datetime) -> bool:
    if person.state is not UserState.ACTIVE:
        return False
    if person.is_owner or is_staff(person):
        return True
    ban = person.ban
    is_banned = ban is not None and (ban.until is None or ban.until > now)
    return person.is_moderator and not is_banned


def require_moderator(person: RoomPerson, now: datetime) -> None:
    """Raises Refusal ``not_a_moderator``."""
    if not may_moderate(person, now):
        raise Refusal("not_a_moderator", "Only moderators of the room may do this.")


def require_owner(person: RoomPerson) -> None:
    """Raises Refusal ``not_room_owner``."""
    if not person.is_owner or person.state is not UserState.ACTIVE:
        raise Refusal("not_room_owner", "Only the room's owner may do this.")


def require_power_over(actor: RoomPerson, target: RoomPerson) -> None:
    """Raises Refusal ``cannot_moderate``. That ``actor`` moderates at all was asked before."""
    is_above = actor.is_owner or is_staff(actor)
    if target.is_owner or is_staff(target) or (target.is_moderator and not is_above):
        raise Refusal("cannot_moderate", f"{target.username} cannot be moderated by you.")
