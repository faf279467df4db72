"""Categories: read by all, kept by administrators, written down."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from storage.database import Database
from storage.ids import new_id
from tests.control_api.rooms_world import RoomsWorld, make_world


@pytest.fixture
async def world(database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> RoomsWorld:
    return await make_world(database, aiohttp_client)


async def add(world: RoomsWorld, slug: str) -> Any:
    return await world.ok("POST", "/admin/categories", "admin", json={"slug": slug, "name": slug.title()})


async def test_categories_are_listed_in_pages_with_what_is_live(world: RoomsWorld) -> None:
    for slug in ("music", "art", "chess"):
        await add(world, slug)
    await world.go_live(await world.room(category="chess"), 4)
    await world.go_live(await world.room(category="chess"), 5)
    await world.go_live(await world.room(category="chess", visibility="private"), 100)
    _, body, _ = await world.api.call("GET", "/categories?limit=2")
    listed = [(each["slug"], each["liveRooms"], each["viewerCount"]) for each in body["data"]]
    assert listed == [("art", 0, 0), ("chess", 2, 9)]
    rest = await world.ok("GET", f"/categories?limit=2&cursor={body['meta']['nextCursor']}")
    assert [each["name"] for each in rest] == ["Music"]
    assert await world.fields("GET", "/categories?cursor=abc") == ["cursor"]


async def test_a_category_is_renamed_and_its_rooms_follow(world: RoomsWorld) -> None:
    category = await add(world, "chess")
    room = await world.room(category="chess")
    path = f"/admin/categories/{category['id']}"
    changed = await world.ok("PATCH", path, "admin", json={"name": " Schach "})
    assert (changed["slug"], changed["name"]) == ("chess", "Schach")
    await world.ok("PATCH", path, "admin", json={"slug": "schach"})
    seen = await world.ok("GET", f"/rooms/{room['id']}")
    assert (seen["category"], seen["categoryName"]) == ("schach", "Schach")


async def test_the_rooms_of_a_deleted_category_stay(world: RoomsWorld) -> None:
    category = await add(world, "chess")
    room = await world.room(category="chess")
    path = f"/admin/categories/{category['id']}"
    status, _, _ = await world.api.call("DELETE", path, "admin")
    assert status == 200
    assert (await world.ok("GET", f"/rooms/{room['id']}"))["category"] is None
    assert await world.refusal("DELETE", path, "admin") == (404, "category_not_found")
    assert await world.refusal("PATCH", path, "admin", json={"name": "x"}) == (404, "category_not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"slug": "A B", "name": "x"}, "slug"),
        ({"slug": "", "name": "x"}, "slug"),
        ({"slug": "line\n", "name": "x"}, "slug"),
        ({"slug": "x"}, "name"),
        ({"slug": "x", "name": ""}, "name"),
        ({"slug": "x", "name": "  "}, "name"),
        ({"slug": "x", "name": "a\tb"}, "name"),
        ({"slug": "x", "name": "y" * 51}, "name"),
        ({"slug": "x", "name": "y", "id": "z"}, "id"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(world: RoomsWorld, body: Any, field: str) -> None:
    assert await world.fields("POST", "/admin/categories", "admin", json=body) == [field]


async def test_a_slug_belongs_to_one_category(world: RoomsWorld) -> None:
    await add(world, "chess")
    other = await add(world, "music")
    taken = (409, "slug_taken")
    body = {"slug": "chess", "name": "x"}
    assert await world.refusal("POST", "/admin/categories", "admin", json=body) == taken
    path = f"/admin/categories/{other['id']}"
    assert await world.refusal("PATCH", path, "admin", json={"slug": "chess"}) == taken


async def test_only_administrators_keep_categories_and_it_is_written_down(
    world: RoomsWorld, database: Database
) -> None:
    body = {"slug": "chess", "name": "Chess"}
    for method, path in (
        ("POST", "/admin/categories"),
        ("PATCH", f"/admin/categories/{new_id()}"),
        ("DELETE", f"/admin/categories/{new_id()}"),
    ):
        options = {} if method == "DELETE" else {"json": body}
        assert (await world.refusal(method, path, **options))[0] == 401
        assert (await world.refusal(method, path, "alice", **options))[0] == 403
    category = await add(world, "chess")
    await world.ok("PATCH", f"/admin/categories/{category['id']}", "admin", json={"name": "x"})
    await world.api.call("DELETE", f"/admin/categories/{category['id']}", "admin")
    rows = await database.fetch("SELECT action, actor_id, subject_id FROM audit_log ORDER BY id")
    assert [row["action"] for row in rows] == ["category.add", "category.change", "category.delete"]
    assert {(row["actor_id"], row["subject_id"]) for row in rows} == {
        (world.users["admin"].id, category["id"])
    }
