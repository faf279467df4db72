"""People of a room, as moderation sees them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from storage.repositories.chat_people import Ban, RoomPerson
from storage.repositories.users import Role, UserState

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROOM = UUID(int=1)

MEMBER = RoomPerson(UUID(int=10), "alice", "Alice", Role.USER, False, False, None, None, UserState.ACTIVE)
SUBSCRIBER = replace(MEMBER, user_id=UUID(int=14), is_subscriber=True)
OWNER = replace(MEMBER, user_id=UUID(int=11), is_owner=True)
MODERATOR = replace(MEMBER, user_id=UUID(int=12), is_moderator=True)
STAFF = replace(MEMBER, user_id=UUID(int=13), site_role=Role.MODERATOR)
EXEMPT = {"owner": OWNER, "moderator": MODERATOR, "staff": STAFF}


def banned(person: RoomPerson, seconds: float | None = None, *, is_shadow: bool = False) -> RoomPerson:
    until = None if seconds is None else NOW + timedelta(seconds=seconds)
    ban = Ban(ROOM, person.user_id, person.username, until, is_shadow, "", UUID(int=11), NOW)
    return replace(person, ban=ban)


def follower(seconds: float, **changes: Any) -> RoomPerson:
    """Somebody who has followed for so long."""
    return replace(MEMBER, followed_at=NOW - timedelta(seconds=seconds), **changes)
