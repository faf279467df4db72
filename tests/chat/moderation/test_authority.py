"""Who may moderate whom: every pair of roles."""

from dataclasses import replace

import pytest

from chat.errors import Refusal
from chat.moderation.authority import may_moderate, require_moderator, require_owner, require_power_over
from storage.repositories.chat_people import RoomPerson
from storage.repositories.users import Role, UserState
from tests.chat.moderation.people import MEMBER, MODERATOR, NOW, OWNER, STAFF, banned

PEOPLE = {
    "owner": OWNER,
    "moderator": MODERATOR,
    "staff": STAFF,
    "admin": replace(STAFF, site_role=Role.ADMIN),
    "superadmin": replace(STAFF, site_role=Role.SUPERADMIN),
    "member": MEMBER,
}
POWER_OVER = {
    "owner": {"moderator", "member"},
    "moderator": {"member"},
    "staff": {"moderator", "member"},
    "admin": {"moderator", "member"},
    "superadmin": {"moderator", "member"},
}


@pytest.mark.parametrize("actor", POWER_OVER)
@pytest.mark.parametrize("target", PEOPLE)
def test_who_has_power_over_whom(actor: str, target: str) -> None:
    if target in POWER_OVER[actor]:
        require_power_over(PEOPLE[actor], PEOPLE[target])
        return
    with pytest.raises(Refusal, match="cannot_moderate"):
        require_power_over(PEOPLE[actor], PEOPLE[target])


@pytest.mark.parametrize("name", PEOPLE)
def test_who_moderates(name: str) -> None:
    assert may_moderate(PEOPLE[name], NOW) is (name != "member")


@pytest.mark.parametrize("name", PEOPLE)
def test_who_is_not_active_moderates_nothing(name: str) -> None:
    suspended = replace(PEOPLE[name], state=UserState.SUSPENDED)
    assert not may_moderate(suspended, NOW)
    with pytest.raises(Refusal, match="not_room_owner"):
        require_owner(suspended)


@pytest.mark.parametrize(
    ("person", "is_allowed"),
    [
        (banned(MODERATOR), False),
        (banned(MODERATOR, 60), False),
        (banned(MODERATOR, is_shadow=True), False),
        (banned(MODERATOR, -1), True),
        (banned(STAFF), True),
    ],
)
def test_a_banned_moderator_is_none(person: RoomPerson, is_allowed: bool) -> None:
    assert may_moderate(person, NOW) is is_allowed


@pytest.mark.parametrize("name", ["moderator", "staff", "member"])
def test_some_things_are_for_the_owner(name: str) -> None:
    require_owner(OWNER)
    with pytest.raises(Refusal, match="not_room_owner"):
        require_owner(PEOPLE[name])


def test_a_member_is_told_so() -> None:
    with pytest.raises(Refusal, match="not_a_moderator"):
        require_moderator(MEMBER, NOW)
