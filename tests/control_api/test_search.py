"""GET /search: pages, kinds, and queries that nobody means well."""

from uuid import UUID

import pytest

from control_api.errors import ApiError
from control_api.pagination import encode_cursor
from control_api.services.search import Hit, SearchService, searchable
from control_api.services.users import PublicProfile
from storage.database import Database
from storage.repositories import Rooms, Users
from storage.repositories.follows import Follows
from storage.repositories.search import Search
from tests.control_api.hostile_values import NOBODY


async def seed(database: Database, rooms: int = 5) -> None:
    owner = await Users(database).add("chess_queen", "queen@example.com", "hash")
    for number in range(rooms):
        await Rooms(database).add(owner.id, f"Chess {number}", None)


def names(hits: list[Hit]) -> list[str]:
    return [hit.room.settings.title if hit.room else hit.user.profile.user.username for hit in hits]


async def test_pages_hold_every_hit_once(database: Database) -> None:
    await seed(database)
    search = SearchService(database)
    seen: list[str] = []
    cursor = None
    for _ in range(10):
        page = await search.find("chess", "all", cursor, 2)
        assert len(page.items) <= 2
        seen += names(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(seen) == [*(f"Chess {number}" for number in range(5)), "chess_queen"]


async def test_only_the_kind_that_is_asked_for(database: Database) -> None:
    await seed(database, 1)
    search = SearchService(database)
    assert names((await search.find("chess", "room", None, 20)).items) == ["Chess 0"]
    assert names((await search.find("chess", "user", None, 20)).items) == ["chess_queen"]


async def test_what_was_hidden_between_the_two_looks_is_left_out(database: Database) -> None:
    await seed(database, 1)
    for statement in ("UPDATE rooms SET visibility = 'private'", "UPDATE users SET state = 'banned'"):
        search = Search(database)
        found = await search.positions("chess", "all", None, 10)
        await database.execute(statement)
        rooms = await search.rooms([position.id for position, kind in found if kind == "room"])
        users = await search.users([position.id for position, kind in found if kind == "user"], None)
        assert not rooms and len(users) == ("visibility" in statement)


async def test_a_user_is_found_with_what_others_see_of_them(database: Database) -> None:
    await seed(database, 0)
    fan = await Users(database).add("fan", "fan@example.com", "hash")
    search = SearchService(database)

    async def found(searcher_id: UUID | None) -> PublicProfile:
        [hit] = (await search.find("chess", "user", None, 10, searcher_id)).items
        assert hit.user is not None
        return hit.user

    queen = (await found(None)).profile.user.id
    assert [(await found(searcher)).is_following for searcher in (None, queen, fan.id)] == [None, None, False]
    await Follows(database).add(fan.id, queen)
    profile = await Users(database).profile(queen)
    assert profile is not None and profile.followers == 1
    assert await found(fan.id) == PublicProfile(profile, True)


@pytest.mark.parametrize(
    "query",
    ["\0", "chess\0", "\ud800", "' OR 1=1 --", "&|!():*<->", "\\", "x" * 10_000, "a " * 5_000, "\r\n"],
)
async def test_no_query_makes_the_database_fail(database: Database, query: str) -> None:
    await seed(database, 1)
    await SearchService(database).find(query, "all", None, 20)


@pytest.mark.parametrize("cursor", ["", "x", "é", encode_cursor("a", UUID(NOBODY)), encode_cursor(1.0)])
async def test_a_foreign_cursor_is_refused(database: Database, cursor: str) -> None:
    with pytest.raises(ApiError) as refusal:
        await SearchService(database).find("chess", "all", cursor, 20)
    assert (refusal.value.status, refusal.value.details[0].field) == (400, "cursor")


def test_what_is_left_of_a_query() -> None:
    assert searchable("  a\0b\ud800 c\n") == "a b c"
    assert len(searchable("w" * 10_000)) == 200
    assert searchable("1 2 3 4 5 6 7 8 9 10 11") == "1 2 3 4 5 6 7 8 9 10"
