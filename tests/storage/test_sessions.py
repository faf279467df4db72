"""Sessions and their refresh tokens' digests."""

import asyncio
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from storage.database import Database
from storage.ids import new_id
from storage.repositories.credentials import Credentials
from storage.repositories.sessions import NewSession, OpenSession, Sessions, TokenStanding, WebSessions
from storage.repositories.users import Role, Users, UserState
from tests.helpers.waiting import eventually
from tests.storage.chat_world import until_somebody_waits

DAY = timedelta(days=1)
GRACE = timedelta(seconds=10)
FIRST, SECOND, THIRD = (bytes([number]) * 32 for number in (1, 2, 3))


@pytest.fixture
async def user_id(database: Database) -> UUID:
    return (await Users(database).add("alice", "alice@example.org", "x")).id


async def opened(
    database: Database, user_id: UUID, digest: bytes = FIRST, remember: bool = False
) -> OpenSession:
    new = NewSession(new_id(), user_id, digest, DAY, "192.0.2.1", "Browser", remember)
    session = await Sessions(database).add(new)
    assert session is not None
    return session


async def test_a_new_session(database: Database, user_id: UUID) -> None:
    session = await opened(database, user_id)
    assert (session.user_id, session.role, session.remember) == (user_id, Role.USER, False)
    [listed] = await Sessions(database).list_open(user_id, None, 10)
    assert (listed.id, listed.address, listed.user_agent) == (session.id, "192.0.2.1", "Browser")
    assert listed.expires_at - listed.created_at == DAY


async def test_overlong_descriptions_are_cut(database: Database, user_id: UUID) -> None:
    new = NewSession(new_id(), user_id, FIRST, DAY, "1" * 100, "x" * 1000, False)
    assert await Sessions(database).add(new) is not None
    [listed] = await Sessions(database).list_open(user_id, None, 10)
    assert (len(listed.address), len(listed.user_agent)) == (64, 300)


@pytest.mark.parametrize("state", [UserState.SUSPENDED, UserState.BANNED, UserState.DELETED])
async def test_who_is_not_active_gets_none(database: Database, user_id: UUID, state: UserState) -> None:
    await Users(database).set_state(user_id, state)
    new = NewSession(new_id(), user_id, FIRST, DAY, "192.0.2.1", "", False)
    assert await Sessions(database).add(new) is None


async def password_since(database: Database) -> datetime:
    found: datetime = await database.fetch_value("SELECT password_changed_at FROM users")
    return found


async def test_another_password_meanwhile_opens_none(database: Database, user_id: UUID) -> None:
    since = await password_since(database)
    new = NewSession(new_id(), user_id, FIRST, DAY, "192.0.2.1", "", False, since)
    assert await Sessions(database).add(new) is not None
    await Credentials(database).set_password(user_id, "y")
    again = replace(new, id=new_id(), refresh_hash=SECOND)
    assert await Sessions(database).add(again) is None


async def test_who_sets_a_password_is_waited_for(database: Database, user_id: UUID) -> None:
    """Otherwise neither would see the other, and the session would outlive the end of all others."""
    new = NewSession(new_id(), user_id, FIRST, DAY, "192.0.2.1", "", False, await password_since(database))
    async with database.transaction() as transaction:
        await Credentials(transaction).set_password(user_id, "y")
        await Sessions(transaction).revoke_all(user_id)
        adding = asyncio.create_task(Sessions(database).add(new))
        await until_somebody_waits(database)
    assert await adding is None


async def test_who_opens_a_session_is_waited_for(database: Database, user_id: UUID) -> None:
    new = NewSession(new_id(), user_id, FIRST, DAY, "192.0.2.1", "", False, await password_since(database))

    async def set_password() -> int:
        async with database.transaction() as other:
            await Credentials(other).set_password(user_id, "y")
            return await Sessions(other).revoke_all(user_id)

    async with database.transaction() as transaction:
        assert await Sessions(transaction).add(new) is not None
        setting = asyncio.create_task(set_password())
        await until_somebody_waits(database)
    assert await setting == 1


async def test_a_token_is_exchanged_once(database: Database, user_id: UUID) -> None:
    session = await opened(database, user_id)
    sessions = Sessions(database)
    results = await asyncio.gather(
        *(sessions.rotate(FIRST, bytes([number]) * 32, DAY, DAY) for number in range(10, 15))
    )
    assert len([result for result in results if result is not None]) == 1
    assert await sessions.standing_of(session.id, FIRST, GRACE) is TokenStanding.JUST_USED


async def test_what_a_token_is_to_its_session(database: Database, user_id: UUID) -> None:
    session = await opened(database, user_id)
    sessions = Sessions(database)

    async def standing(digest: bytes, session_id: UUID = session.id) -> TokenStanding:
        return await sessions.standing_of(session_id, digest, GRACE)

    assert await standing(FIRST) is TokenStanding.VALID
    await sessions.rotate(FIRST, SECOND, DAY, DAY)
    await sessions.rotate(SECOND, THIRD, DAY, DAY)
    assert await standing(FIRST) is TokenStanding.USED_BEFORE
    assert await standing(SECOND) is TokenStanding.JUST_USED
    assert await sessions.standing_of(session.id, SECOND, timedelta(0)) is TokenStanding.USED_BEFORE
    assert await standing(FIRST, new_id()) is TokenStanding.ENDED
    await sessions.revoke(session.id)
    assert await standing(THIRD) is TokenStanding.ENDED
    assert await sessions.rotate(THIRD, FIRST, DAY, DAY) is None


async def test_a_remembered_session_lives_longer(database: Database, user_id: UUID) -> None:
    await opened(database, user_id, FIRST, remember=True)
    await opened(database, user_id, SECOND, remember=False)
    sessions = Sessions(database)
    long = await sessions.rotate(FIRST, THIRD, DAY, 100 * DAY)
    short = await sessions.rotate(SECOND, bytes(32), DAY, 100 * DAY)
    assert long is not None
    assert short is not None
    assert long.expires_at - short.expires_at > 98 * DAY


async def test_an_expired_session_is_not_open(database: Database, user_id: UUID) -> None:
    session = await opened(database, user_id)
    await database.execute("UPDATE sessions SET created_at = now() - interval '9 days', expires_at = now()")
    sessions = Sessions(database)
    assert await sessions.rotate(FIRST, SECOND, DAY, DAY) is None
    assert await sessions.find_by_token(FIRST) is None
    assert await sessions.list_open(user_id, None, 10) == []
    state = await sessions.state_of(session.id, user_id)
    assert state is not None
    assert not state.is_open
    await sessions.forget_ended()
    assert await sessions.state_of(session.id, user_id) is None


async def test_the_state_is_the_owners_only(database: Database, user_id: UUID) -> None:
    session = await opened(database, user_id)
    assert await Sessions(database).state_of(session.id, new_id()) is None


async def test_revoking(database: Database, user_id: UUID) -> None:
    first, second, third = [await opened(database, user_id, digest) for digest in (FIRST, SECOND, THIRD)]
    sessions = Sessions(database)
    assert await sessions.revoke(first.id, new_id()) is None
    assert await sessions.revoke(first.id, user_id) == user_id
    assert await sessions.revoke(first.id, user_id) is None
    assert await sessions.revoke_all(user_id, but=second.id) == 1
    assert [session.id for session in await sessions.list_open(user_id, None, 10)] == [second.id]
    assert await sessions.find_by_token(SECOND) == (second.id, user_id)
    assert await sessions.find_by_token(THIRD) is None
    assert third.id != second.id


async def test_revoked_sessions_stay_a_while(database: Database, user_id: UUID) -> None:
    session = await opened(database, user_id)
    sessions = Sessions(database)
    await sessions.revoke(session.id)
    await sessions.forget_ended()
    assert await sessions.state_of(session.id, user_id) is not None
    await database.execute("UPDATE sessions SET revoked_at = now() - interval '8 days'")
    await sessions.forget_ended()
    assert await sessions.state_of(session.id, user_id) is None


async def test_every_node_hears_of_a_revoked_session(
    database: Database, database_url: str, user_id: UUID
) -> None:
    session = await opened(database, user_id)
    heard: list[Any] = []
    connection = await asyncpg.connect(database_url)
    try:
        await connection.add_listener("mediaserver", lambda *event: heard.append(json.loads(event[3])))
        await Sessions(database).rotate(FIRST, SECOND, DAY, DAY)
        await Sessions(database).revoke(session.id)
        await eventually(lambda: heard)
        assert heard == [{"kind": "user", "user_id": str(user_id)}]
    finally:
        await connection.close()


async def test_page_sessions(database: Database, user_id: UUID) -> None:
    session = await opened(database, user_id)
    pages = WebSessions(database)
    await pages.put(FIRST, session.id, '{"a": 1}', DAY)
    await pages.put(SECOND, None, '{"b": 1}', -DAY)
    await pages.put(FIRST, session.id, '{"a": 2}', DAY)
    found = await pages.find(FIRST)
    assert found is not None
    assert json.loads(found) == {"a": 2}
    assert await pages.find(SECOND) is None
    await pages.forget_ended()
    assert await database.fetch_value("SELECT count(*) FROM web_sessions") == 1
    await pages.delete(FIRST)
    assert await pages.find(FIRST) is None


async def test_a_page_session_goes_with_its_session(database: Database, user_id: UUID) -> None:
    session = await opened(database, user_id)
    pages = WebSessions(database)
    await pages.put(FIRST, session.id, "{}", DAY)
    await database.execute("DELETE FROM sessions WHERE id = $1", session.id)
    assert await pages.find(FIRST) is None
