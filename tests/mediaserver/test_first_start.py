"""The first start makes an administrator and a room, once, and says so."""

import asyncio
from collections.abc import Iterator

import pytest

from mediaserver.accounts import Accounts
from mediaserver.addresses import Addresses
from mediaserver.config import Settings
from mediaserver.errors import AccountError
from mediaserver.first_start import FirstStart, demo_room, prepare_first_start, welcome
from storage.database import Database
from storage.passwords import Passwords
from storage.repositories import Role, Rooms, StreamKeys, Users
from storage.stream_keys import StreamKeyDigester

DIGESTER = StreamKeyDigester(b"secret")


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords()
    yield passwords
    passwords.close()


async def test_makes_an_administrator_and_a_room_with_a_key(database: Database, passwords: Passwords) -> None:
    made = await prepare_first_start(database, DIGESTER, passwords)
    assert made is not None
    admin = await Users(database).find_by_name(made.username)
    assert admin is not None and admin.role is Role.SUPERADMIN
    stored = await database.fetch_value("SELECT password_hash FROM users")
    assert await passwords.is_correct(made.password, stored)
    room = await Rooms(database).find_by_slug("demo")
    key = await StreamKeys(database).find(DIGESTER.digest(made.stream_key))
    assert room is not None and key is not None
    assert (key.room_id, room.owner_id) == (room.id, admin.id)
    audited = await database.fetch("SELECT action, actor_id, address FROM audit_log ORDER BY id")
    assert [tuple(row) for row in audited] == [
        ("user.created", None, "first start"),
        ("room.created", None, "first start"),
    ]


async def test_happens_once_however_many_start(database: Database, passwords: Passwords) -> None:
    made = await asyncio.gather(*(prepare_first_start(database, DIGESTER, passwords) for _ in range(3)))
    assert sum(result is not None for result in made) == 1
    assert await prepare_first_start(database, DIGESTER, passwords) is None
    assert await database.fetch_value("SELECT count(*) FROM users") == 1


async def test_leaves_an_installation_alone_where_a_name_is_taken(
    database: Database, passwords: Passwords
) -> None:
    owner = await Users(database).add("alice", "a@example.com", "hash")
    await Rooms(database).add(owner.id, "Hers", "demo")
    assert await prepare_first_start(database, DIGESTER, passwords) is None
    assert await Users(database).find_by_name("admin") is None


async def test_the_demo_room_is_made_again_when_it_was_deleted(
    database: Database, passwords: Passwords
) -> None:
    accounts = Accounts(database, DIGESTER, passwords)
    with pytest.raises(AccountError, match="there is no room demo"):
        await demo_room(database, accounts)
    await prepare_first_start(database, DIGESTER, passwords)
    first = await demo_room(database, accounts)
    assert (await demo_room(database, accounts)).id == first.id
    await Rooms(database).delete(first.id)
    second = await demo_room(database, accounts)
    assert (second.settings.slug, second.id == first.id) == ("demo", False)


def test_the_secrets_are_shown_at_the_first_start_only() -> None:
    addresses = Addresses.of(Settings())
    first = welcome(addresses, FirstStart("admin", "the-password", "the-key"), is_demo=False)
    for part in ("the-password", "the-key", "admin", "http://localhost:8080/watch/demo", addresses.rtmp_url):
        assert part in first
    later = welcome(addresses, None, is_demo=True)
    assert "http://localhost:8080/watch/demo" in later and "test pattern" in later
    assert "password" not in later
