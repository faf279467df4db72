"""What signing in needs of users."""

import pytest

from storage.database import Database
from storage.errors import Conflict, InvalidValue
from storage.ids import new_id
from storage.repositories.credentials import Credential, Credentials, NewAccount
from storage.repositories.users import Role, UserState

ALICE = NewAccount("Alice", "Alice@example.org", "Älice", "hash")


@pytest.fixture
async def alice(database: Database) -> Credential:
    return await Credentials(database).add(ALICE)


async def test_a_new_account(database: Database, alice: Credential) -> None:
    assert (alice.username, alice.email, alice.display_name) == ("Alice", "Alice@example.org", "Älice")
    assert (alice.role, alice.state, alice.email_verified_at) == (Role.USER, UserState.ACTIVE, None)
    accepted = await database.fetch_value("SELECT accepted_terms_at FROM users")
    assert accepted is not None


async def test_is_found_whatever_the_case(database: Database, alice: Credential) -> None:
    credentials = Credentials(database)
    assert await credentials.find_by_id(alice.id) == alice
    assert await credentials.find_by_name("ALICE") == alice
    assert await credentials.find_by_email("alice@EXAMPLE.org") == alice
    assert await credentials.find_by_id(new_id()) is None
    assert await credentials.find_by_name("bob") is None
    assert await credentials.find_by_email("Alice") is None


@pytest.mark.parametrize(
    ("account", "constraint"),
    [
        (NewAccount("ALICE", "b@example.org", "x", "h"), "users_username_unique"),
        (NewAccount("bob", "ALICE@EXAMPLE.ORG", "x", "h"), "users_email_unique"),
    ],
)
async def test_names_are_unique(
    database: Database, alice: Credential, account: NewAccount, constraint: str
) -> None:
    with pytest.raises(Conflict) as taken:
        await Credentials(database).add(account)
    assert taken.value.constraint == constraint


@pytest.mark.parametrize(
    ("account", "constraint"),
    [
        (NewAccount("al", "b@example.org", "x", "h"), "users_username_valid"),
        (NewAccount("alice\n", "b@example.org", "x", "h"), "users_username_valid"),
        (NewAccount("alice", "b", "x", "h"), "users_email_valid"),
        (NewAccount("alice", "b@example.org", "", "h"), "users_display_name_valid"),
    ],
)
async def test_the_database_keeps_the_rules_as_well(
    database: Database, account: NewAccount, constraint: str
) -> None:
    with pytest.raises(InvalidValue) as refused:
        await Credentials(database).add(account)
    assert refused.value.constraint == constraint


async def test_a_password_is_changed_and_when_is_noted(database: Database, alice: Credential) -> None:
    before = await database.fetch_value("SELECT password_changed_at FROM users")
    await Credentials(database).set_password(alice.id, "new")
    found = await Credentials(database).find_by_id(alice.id)
    assert found is not None
    assert found.password_hash == "new"
    assert await database.fetch_value("SELECT password_changed_at FROM users") > before


async def test_a_rehash_does_not_undo_a_change(database: Database, alice: Credential) -> None:
    credentials = Credentials(database)
    await credentials.replace_hash(alice.id, "hash", "stronger")
    await credentials.replace_hash(alice.id, "hash", "late")
    found = await credentials.find_by_id(alice.id)
    assert found is not None
    assert found.password_hash == "stronger"


async def test_verifying_twice_keeps_the_first_time(database: Database, alice: Credential) -> None:
    credentials = Credentials(database)
    await credentials.set_verified(alice.id)
    first = await credentials.find_by_id(alice.id)
    await credentials.set_verified(alice.id)
    assert await credentials.find_by_id(alice.id) == first
    assert first is not None
    assert first.email_verified_at is not None
