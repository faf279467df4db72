"""API keys in their table."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from storage.database import Database
from storage.errors import Conflict, InvalidValue
from storage.ids import new_id
from storage.repositories import Role, Users, UserState
from storage.repositories.api_keys import ApiKeys, NewApiKey

DIGEST = b"d" * 32


def new_key(digest: bytes = DIGEST, expires_at: datetime | None = None) -> NewApiKey:
    return NewApiKey("A key", "msk_12345678", digest, ["rooms:read", "users:read"], expires_at)


@pytest.fixture
async def user_id(database: Database) -> UUID:
    return (await Users(database).add("alice", "alice@example.com", "hash", Role.MODERATOR)).id


async def test_a_key_is_found_with_its_owner(database: Database, user_id: UUID) -> None:
    keys = ApiKeys(database)
    added = await keys.add(user_id, new_key())
    holder = await keys.find(DIGEST)
    assert holder is not None
    assert (holder.key_id, holder.user_id, holder.role) == (added.id, user_id, Role.MODERATOR)
    assert holder.scopes == {"rooms:read", "users:read"}
    assert await keys.find(b"x" * 32) is None


async def test_a_revoked_key_is_gone(database: Database, user_id: UUID) -> None:
    keys = ApiKeys(database)
    added = await keys.add(user_id, new_key())
    assert not await keys.revoke(added.id, new_id())
    assert await keys.is_good(added.id)
    assert await keys.revoke(added.id, user_id)
    assert not await keys.revoke(added.id, user_id)
    assert not await keys.is_good(added.id)
    assert await keys.find(DIGEST) is None
    assert await keys.list_of(user_id, 10) == []


async def test_an_expired_key_is_good_for_nothing(database: Database, user_id: UUID) -> None:
    key = await ApiKeys(database).add(user_id, new_key(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    assert not await ApiKeys(database).is_good(key.id)
    assert await ApiKeys(database).find(DIGEST) is None


@pytest.mark.parametrize("state", [UserState.SUSPENDED, UserState.BANNED, UserState.DELETED])
async def test_a_key_of_somebody_not_active_is_good_for_nothing(
    database: Database, user_id: UUID, state: UserState
) -> None:
    key = await ApiKeys(database).add(user_id, new_key())
    await Users(database).set_state(user_id, state)
    assert not await ApiKeys(database).is_good(key.id)
    assert await ApiKeys(database).find(DIGEST) is None


async def test_use_is_noted_at_most_once_a_minute(database: Database, user_id: UUID) -> None:
    keys = ApiKeys(database)
    added = await keys.add(user_id, new_key())
    assert (await keys.find(DIGEST)).is_use_due  # type: ignore[union-attr]
    await keys.note_use(added.id)
    (noted,) = await keys.list_of(user_id, 10)
    await keys.note_use(added.id)
    assert await keys.list_of(user_id, 10) == [noted]
    assert noted.last_used_at is not None
    assert not (await keys.find(DIGEST)).is_use_due  # type: ignore[union-attr]
    await database.execute("UPDATE api_keys SET last_used_at = now() - interval '61 seconds'")
    assert (await keys.find(DIGEST)).is_use_due  # type: ignore[union-attr]


async def test_keys_are_listed_newest_first_page_by_page(database: Database, user_id: UUID) -> None:
    keys = ApiKeys(database)
    added = [await keys.add(user_id, new_key(bytes([n]) * 32)) for n in range(3)]
    newest = sorted(added, key=lambda key: key.id, reverse=True)
    assert await keys.list_of(user_id, 2) == newest[:2]
    assert await keys.list_of(user_id, 2, newest[1].id) == newest[2:]
    assert await keys.list_of(new_id(), 10) == []
    assert await keys.count_locked(user_id) == 3


async def test_a_digest_stands_once_and_an_owner_must_be(database: Database, user_id: UUID) -> None:
    await ApiKeys(database).add(user_id, new_key())
    with pytest.raises(Conflict):
        await ApiKeys(database).add(user_id, new_key())
    with pytest.raises(InvalidValue):
        await ApiKeys(database).add(new_id(), new_key(b"x" * 32))
