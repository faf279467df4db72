"""Profiles: what changes, what is counted, what two at once leave."""

import asyncio

import pytest

from storage.database import Database
from storage.errors import InvalidValue
from storage.ids import new_id
from storage.repositories import Role, Users, UserState
from storage.repositories.users import UserFilter


async def test_a_profile_is_found_by_id_and_name(database: Database) -> None:
    users = Users(database)
    user = await users.add("Alice", "alice@example.com", "hash")
    profile = await users.profile(user.id)
    assert profile is not None and profile == await users.profile_by_name("aLICE")
    assert (profile.user, profile.avatar, profile.bio, profile.is_creator) == (user, None, "", False)
    assert (profile.is_verified, profile.followers, profile.following) == (False, 0, 0)
    assert await users.find_by_id(user.id) == await users.lock(user.id) == user
    assert await users.profile(new_id()) is await users.find_by_id(new_id()) is None


async def test_a_profile_changes_where_something_is_given(database: Database) -> None:
    users = Users(database)
    user = await users.add("alice", "alice@example.com", "hash")
    await users.change_profile(user.id, "Alice", None)
    await users.change_profile(user.id, None, "Hello")
    await users.set_creator(user.id, True)
    profile = await users.profile(user.id)
    assert profile is not None
    assert (profile.user.display_name, profile.bio, profile.is_creator) == ("Alice", "Hello", True)
    for name, bio in (("", None), ("x" * 51, None), (None, "x" * 501)):
        with pytest.raises(InvalidValue):
            await users.change_profile(user.id, name, bio)


async def test_each_avatar_is_given_back_once(database: Database) -> None:
    """Whoever sets an avatar deletes the one before: none may be forgotten, none deleted twice."""
    users = Users(database)
    user = await users.add("alice", "alice@example.com", "hash")
    names = [f"{number}.webp" for number in range(8)]
    before = await asyncio.gather(*(users.set_avatar(user.id, name) for name in names))
    last = await users.set_avatar(user.id, None)
    assert sorted(name for name in [*before, last] if name) == names
    assert before.count(None) == 1


async def test_a_password_is_looked_up_of_active_accounts_only(database: Database) -> None:
    users = Users(database)
    user = await users.add("alice", "alice@example.com", "hash")
    assert await users.password_hash(user.id) == "hash"
    await users.set_state(user.id, UserState.SUSPENDED)
    assert await users.password_hash(user.id) is None


async def test_superadmins_count_while_they_are_active(database: Database) -> None:
    users = Users(database)
    root = await users.add("root", "root@example.com", "hash", Role.SUPERADMIN)
    await users.add("other", "other@example.com", "hash", Role.ADMIN)
    assert await users.count_superadmins() == 1
    await users.set_state(root.id, UserState.BANNED)
    assert await users.count_superadmins() == 0


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("al", {"alice", "Alfred"}),
        ("ALI", {"alice"}),
        ("alice", {"alice"}),
        ("alicex", set()),
        ("%", set()),
        ("_", {"_under"}),
        ("under@", {"_under"}),
        ("\U0010ffff", set()),
        ("\\", set()),
    ],
)
async def test_users_are_found_by_how_they_begin(database: Database, prefix: str, found: set[str]) -> None:
    users = Users(database)
    for name, mail in (("alice", "one"), ("Alfred", "two"), ("_under", "Under")):
        await users.add(name, f"{mail}@example.com", "hash")
    profiles = await users.list_profiles(UserFilter(prefix=prefix))
    assert {profile.user.username for profile in profiles} == found
