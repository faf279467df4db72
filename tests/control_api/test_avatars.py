"""Users' pictures over HTTP."""

import asyncio

import pytest

from control_api.images import MAX_PICTURE_BYTES
from storage.objects import ObjectsUnavailable
from tests.control_api.people_world import PeopleWorld, picture, world

__all__ = ["world"]


async def put(world: PeopleWorld, data: bytes, kind: str = "image/png", user: str | None = "alice"):
    return await world.call("PUT", "/users/me/avatar", user, data=data, headers={"Content-Type": kind})


async def test_a_picture_is_shown_to_everybody_for_ever(world: PeopleWorld) -> None:
    status, me = await put(world, picture())
    assert status == 200 and me["avatar"].startswith("/api/v1/avatars/")
    response = await world.sample.client.get(me["avatar"])
    assert (response.status, response.content_type) == (200, "image/webp")
    assert "immutable" in response.headers["Cache-Control"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert (await response.read())[8:12] == b"WEBP"
    _, shown = await world.call("GET", "/users/alice")
    assert shown["avatar"] == me["avatar"]


async def test_another_picture_takes_its_place(world: PeopleWorld) -> None:
    _, first = await put(world, picture())
    _, second = await put(world, picture("JPEG"), "image/jpeg")
    assert first["avatar"] != second["avatar"]
    assert (await world.sample.client.get(first["avatar"])).status == 404
    assert (await world.sample.client.get(second["avatar"])).status == 200


async def test_of_pictures_sent_at_once_one_stays(world: PeopleWorld) -> None:
    answers = await asyncio.gather(*(put(world, picture()) for _ in range(4)))
    _, me = await world.call("GET", "/users/me", "alice")
    made = {answer["avatar"] for status, answer in answers if status == 200}
    statuses = {name: (await world.sample.client.get(name)).status for name in made}
    assert statuses[me["avatar"]] == 200
    assert sum(status == 200 for status in statuses.values()) == 1


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"<script>alert(1)</script>", "image/png", 400),
        (b"", "image/png", 400),
        (picture(), "text/html", 415),
        (picture(), "image/svg+xml", 415),
        (bytes(MAX_PICTURE_BYTES + 1), "image/png", 413),
    ],
)
async def test_what_is_no_picture_is_refused(world: PeopleWorld, data: bytes, kind: str, status: int) -> None:
    assert (await put(world, data, kind))[0] == status
    assert (await world.call("GET", "/users/me", "alice"))[1]["avatar"] is None


async def test_nobody_sets_a_picture_without_signing_in(world: PeopleWorld) -> None:
    assert await put(world, picture(), user=None) == (401, "unauthorized")


@pytest.mark.parametrize(
    "name", ["x", "..%2f..%2fetc%2fpasswd", "a" * 32, "0" * 32 + ".webp", "0" * 32 + ".webp%0a", "%2e%2e"]
)
async def test_a_picture_that_is_not_there_is_not_found(world: PeopleWorld, name: str) -> None:
    response = await world.sample.client.get(f"/api/v1/avatars/{name}")
    assert response.status in (400, 404)


async def test_a_lost_store_is_said_to_be_lost(world: PeopleWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    _, me = await put(world, picture())

    async def lose(*_: object) -> None:
        raise ObjectsUnavailable("gone")

    for method in ("put", "get", "delete"):
        monkeypatch.setattr(world.objects.__class__, method, lose)
    assert await put(world, picture()) == (503, "unavailable")
    assert (await world.sample.client.get(me["avatar"])).status == 503
    assert (await world.call("GET", "/users/me", "alice"))[1]["avatar"] == me["avatar"]
