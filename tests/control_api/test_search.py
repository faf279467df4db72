"""GET /search: pages, kinds, and queries that nobody means well."""

import pytest

from control_api.errors import ApiError
from control_api.pagination import encode_cursor
from control_api.services.search import Hit, SearchService, searchable
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Rooms, Users


async def seed(database: Database, rooms: int = 5) -> None:
    owner = await Users(database).add("chess_queen", "queen@example.com", "hash")
    for number in range(rooms):
        await Rooms(database).add(owner.id, f"Chess {number}", None)


def names(hits: list[Hit]) -> list[str]:
    return [hit.room.title if hit.room else hit.user.username for hit in hits if hit.room or hit.user]  # type: ignore[union-attr]


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
    assert names((await search.find("chess", "rooms", None, 20)).items) == ["Chess 0"]
    assert names((await search.find("chess", "users", None, 20)).items) == ["chess_queen"]


@pytest.mark.parametrize(
    "query",
    ["\0", "chess\0", "\ud800", "' OR 1=1 --", "&|!():*<->", "\\", "x" * 10_000, "a " * 5_000, "\r\n"],
)
async def test_no_query_makes_the_database_fail(database: Database, query: str) -> None:
    await seed(database, 1)
    await SearchService(database).find(query, "all", None, 20)


@pytest.mark.parametrize("cursor", ["", "x", "é", encode_cursor("a", new_id()), encode_cursor(1.0)])
async def test_a_foreign_cursor_is_refused(database: Database, cursor: str) -> None:
    with pytest.raises(ApiError) as refusal:
        await SearchService(database).find("chess", "all", cursor, 20)
    assert (refusal.value.status, refusal.value.details[0].field) == (400, "cursor")


def test_what_is_left_of_a_query() -> None:
    assert searchable("  a\0b\ud800 c\n") == "a b c"
    assert len(searchable("w" * 10_000)) == 200
    assert searchable("1 2 3 4 5 6 7 8 9 10 11") == "1 2 3 4 5 6 7 8 9 10"
