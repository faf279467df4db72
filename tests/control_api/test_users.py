"""The own account: what it shows, how it changes, what may be taken along, how it ends."""

import asyncio
import io
import json
from zipfile import ZipFile

import pytest

from control_api.routing import Limit
from storage.bus import RoomDeleted, UserChanged
from storage.errors import Conflict
from storage.repositories import Role, Rooms, StreamKeys, Users, UserState
from storage.repositories.account_data import KEPT, REMOVED
from storage.repositories.blocks import Blocks
from storage.repositories.creators import CreatorApplications
from storage.repositories.follows import Follows
from tests.control_api.people_world import PASSWORD, PeopleWorld, picture, world

__all__ = ["world"]


async def test_an_account_is_shown_to_its_owner(world: PeopleWorld) -> None:
    status, me = await world.call("GET", "/users/me", "alice")
    assert status == 200
    assert me.pop("createdAt").endswith("Z")
    assert me == {
        "id": world.id("alice"),
        "username": "alice",
        "email": "alice@example.com",
        "displayName": "alice",
        "avatar": None,
        "bio": "",
        "verified": False,
        "role": "user",
        "isCreator": False,
        "wallet": {"coins": 0, "gems": 0},
    }
    assert await world.call("GET", "/users/me") == (401, "unauthorized")


async def test_a_profile_is_found_by_id_and_by_name_and_tells_no_secret(world: PeopleWorld) -> None:
    await Follows(world.database).add(world.people["bob"].id, world.people["alice"].id)
    status, by_name = await world.call("GET", "/users/ALICE")
    assert status == 200
    assert set(by_name) == {
        "id",
        "username",
        "displayName",
        "avatar",
        "bio",
        "isCreator",
        "followers",
        "following",
        "createdAt",
        "isFollowing",
    }
    assert (by_name["followers"], by_name["following"], by_name["isFollowing"]) == (1, 0, None)
    _, by_id = await world.call("GET", f"/users/{world.id('alice')}", "bob")
    assert by_id == by_name | {"isFollowing": True}
    _, own = await world.call("GET", "/users/alice", "alice")
    assert own["isFollowing"] is None


@pytest.mark.parametrize(
    "name",
    [
        "nobody",
        "a",
        "x" * 200,
        "01a1fa90-8fd2-7bad-99de-df13dc736d90",
        "alice'--",
        "..%2f",
        "%C3%A4lice",
        "%D0%B0lice",
    ],
)
async def test_who_is_not_there_is_not_found(world: PeopleWorld, name: str) -> None:
    assert await world.call("GET", f"/users/{name}") == (404, "user_not_found")


@pytest.mark.parametrize("state", [UserState.SUSPENDED, UserState.BANNED, UserState.DELETED])
async def test_who_is_not_active_is_not_there(world: PeopleWorld, state: UserState) -> None:
    await Users(world.database).set_state(world.people["alice"].id, state)
    for path in ("alice", world.id("alice"), f"{world.id('alice')}/followers"):
        assert await world.call("GET", f"/users/{path}", "bob") == (404, "user_not_found")


async def test_a_profile_changes_field_by_field(world: PeopleWorld) -> None:
    status, changed = await world.call("PATCH", "/users/me", "alice", json={"displayName": "  Ali\u0308ce "})
    assert (status, changed["displayName"], changed["bio"]) == (200, "Al\u00efce", "")
    _, changed = await world.call("PATCH", "/users/me", "alice", json={"bio": "one\r\ntwo"})
    assert (changed["displayName"], changed["bio"]) == ("Al\u00efce", "one\ntwo")
    _, changed = await world.call("PATCH", "/users/me", "alice", json={})
    assert changed["bio"] == "one\ntwo"


async def test_a_change_of_what_was_changed_meanwhile_is_refused(world: PeopleWorld) -> None:
    async def change(bio: str, if_match: str | None) -> tuple[int, str | None, str | None]:
        headers = {"If-Match": if_match} if if_match is not None else {}
        status, body, answered = await world.sample.call(
            "PATCH", "/users/me", "alice", json={"bio": bio}, headers=headers
        )
        return status, body.get("code"), answered.get("ETag")

    _, _, headers = await world.sample.call("GET", "/users/me", "alice")
    assert headers["ETag"] == '"1"'
    assert await change("first", '"1"') == (200, None, '"2"')
    assert await change("late", '"1"') == (412, "version_mismatch", None)
    assert await change("made up", "rubbish") == (412, "version_mismatch", None)
    assert await change("anyway", "*") == (200, None, '"3"')
    assert await change("does not care", None) == (200, None, '"4"')
    assert (await world.call("GET", "/users/me", "alice"))[1]["bio"] == "does not care"


async def test_of_changes_at_once_that_know_the_same_one_wins(world: PeopleWorld) -> None:
    headers = {"If-Match": '"1"'}
    answers = await asyncio.gather(
        *(
            world.call("PATCH", "/users/me", "alice", json={"bio": f"{number}"}, headers=headers)
            for number in range(10)
        )
    )
    assert sorted(status for status, _ in answers) == [200] + [412] * 9


async def test_another_picture_is_another_version_of_the_profile(world: PeopleWorld) -> None:
    headers = {"Content-Type": "image/png"}
    _, _, answered = await world.sample.call(
        "PUT", "/users/me/avatar", "alice", data=picture(), headers=headers
    )
    assert answered["ETag"] == '"2"'
    late = {"If-Match": '"1"'}
    assert (await world.call("PATCH", "/users/me", "alice", json={"bio": "x"}, headers=late))[0] == 412


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"displayName": ""}, "displayName"),
        ({"displayName": "   "}, "displayName"),
        ({"displayName": "x" * 51}, "displayName"),
        ({"displayName": "a\nb"}, "displayName"),
        ({"displayName": "a\u202eb"}, "displayName"),
        ({"displayName": 7}, "displayName"),
        ({"bio": "x" * 501}, "bio"),
        ({"bio": "\u0007"}, "bio"),
        ({"bio": "\u0958" * 500}, "bio"),
        ({"role": "admin"}, "role"),
        ({"username": "other"}, "username"),
        ({"isCreator": True}, "isCreator"),
    ],
)
async def test_a_bad_change_names_its_field(world: PeopleWorld, body: object, field: str) -> None:
    status, answer, _ = await world.sample.call("PATCH", "/users/me", "alice", json=body)
    assert (status, answer["details"][0]["field"]) == (400, field)


@pytest.mark.parametrize("text", [b'"\\u0000"', b'"\\ud800"', b'"\xff"', b'"\\udc00\\ud800"'])
async def test_text_that_postgresql_cannot_take_is_refused(world: PeopleWorld, text: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    body = b'{"bio": ' + text + b"}"
    assert (await world.call("PATCH", "/users/me", "alice", data=body, headers=headers))[0] == 400


async def test_an_export_holds_what_is_kept_and_no_secret(world: PeopleWorld) -> None:
    alice, bob = world.people["alice"].id, world.people["bob"].id
    room = await Rooms(world.database).add(alice, "My room", "mine")
    await StreamKeys(world.database).set(room, b"\x07" * 32)
    await Follows(world.database).add(alice, bob)
    await Blocks(world.database).add(alice, world.people["mod"].id)
    await world.call(
        "PUT", "/users/me/avatar", "alice", data=picture(), headers={"Content-Type": "image/png"}
    )
    response = await world.sample.client.post(
        "/api/v1/users/me/export", headers={"Authorization": "Bearer alice"}
    )
    assert (response.status, response.content_type) == (200, "application/zip")
    assert "attachment" in response.headers["Content-Disposition"]
    assert world.sample.doorman.counted[-1][0] is Limit.GENERAL, "it is no upload"
    archive = ZipFile(io.BytesIO(await response.read()))
    read = {name: archive.read(name) for name in archive.namelist()}
    assert read["avatar.webp"].startswith(b"RIFF")
    told = {name: json.loads(data) for name, data in read.items() if name.endswith(".json")}
    assert told["profile.json"][0]["email"] == "alice@example.com"
    assert told["rooms.json"][0]["slug"] == "mine"
    assert [row["username"] for row in told["following.json"]] == ["bob"]
    assert [row["username"] for row in told["blocks.json"]] == ["mod"]
    assert told["sessions.json"] == told["api-keys.json"] == told["reports.json"] == []
    everything = json.dumps(told)
    assert "hash" not in everything and "bob@example.com" not in everything


async def test_exports_that_pile_up_are_refused(world: PeopleWorld) -> None:
    calls = (
        world.sample.client.post("/api/v1/users/me/export", headers={"Authorization": "Bearer alice"})
        for _ in range(12)
    )
    statuses = {response.status for response in await asyncio.gather(*calls)}
    assert statuses <= {200, 503} and 200 in statuses


async def test_a_deleted_account_leaves_nothing_but_its_name(world: PeopleWorld) -> None:
    database, alice, bob = world.database, world.people["alice"].id, world.people["bob"].id
    room = await Rooms(database).add(alice, "My room", "mine")
    await database.execute("UPDATE rooms SET thumbnail = 'picture.webp' WHERE id = $1", room)
    await world.objects.put("thumbnails/picture.webp", b"picture")
    headers = {"Content-Type": "image/png"}
    _, me = await world.call("PUT", "/users/me/avatar", "alice", data=picture(), headers=headers)
    await Follows(database).add(alice, bob)
    await Follows(database).add(bob, alice)
    await Blocks(database).add(alice, world.people["mod"].id)
    await CreatorApplications(database).add(alice, "please")
    await database.execute(
        """INSERT INTO sessions (id, user_id, refresh_hash, expires_at, address, user_agent)
           VALUES (gen_random_uuid(), $1, sha256('x'), now() + interval '1 day', '::1', '')""",
        alice,
    )

    status, nothing = await world.call("DELETE", "/users/me", "alice", json={"password": PASSWORD})
    assert (status, nothing) == (200, None)
    row = await database.fetch_row("SELECT * FROM users WHERE id = $1", alice)
    assert row is not None
    assert (row["username"], row["state"], row["password_hash"], row["avatar"]) == (
        "alice",
        "deleted",
        "!",
        None,
    )
    assert "alice" not in row["email"] + row["display_name"] + row["bio"]
    for table in ("rooms", "follows", "blocks", "sessions", "creator_applications"):
        assert await database.fetch_value(f"SELECT count(*) FROM {table}") == 0, table
    assert (await world.call("GET", "/users/bob"))[1]["followers"] == 0
    assert await world.objects.get("thumbnails/picture.webp") is None
    assert await world.call("GET", me["avatar"].removeprefix("/api/v1")) == (404, "avatar_not_found")
    assert world.events == [UserChanged(str(alice)), RoomDeleted(str(room))]
    assert await world.audited() == ["user.deleted"]
    assert await world.call("DELETE", "/users/me", "alice", json={"password": PASSWORD}) == (
        403,
        "wrong_password",
    )


async def test_every_table_that_tells_of_a_user_is_emptied_by_deletion(world: PeopleWorld) -> None:
    """A table that comes later with a foreign key to users must be looked at in AccountData, too."""
    rows = await world.database.fetch(
        """SELECT conrelid::regclass::text AS name, attname FROM pg_constraint
           JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
           WHERE contype = 'f' AND confrelid = 'users'::regclass"""
    )
    removed = " ".join(REMOVED)
    unknown = {
        f"{row['name']}.{row['attname']}"
        for row in rows
        if f"DELETE FROM {row['name']} WHERE {row['attname']} = $1" not in removed
    }
    assert unknown - KEPT == set()


async def test_deletion_needs_the_password(world: PeopleWorld) -> None:
    assert await world.call("DELETE", "/users/me", "alice", json={"password": "wrong"}) == (
        403,
        "wrong_password",
    )
    assert (await world.call("DELETE", "/users/me", "alice", json={}))[0] == 400
    assert (await world.call("DELETE", "/users/me", "alice"))[0] == 415
    assert await world.call("DELETE", "/users/me", json={"password": PASSWORD}) == (401, "unauthorized")
    world.passwords.is_busy = True
    assert (await world.call("DELETE", "/users/me", "alice", json={"password": PASSWORD}))[0] == 503
    assert (await world.call("GET", "/users/me", "alice"))[0] == 200


async def test_the_last_superadmin_stays(world: PeopleWorld) -> None:
    body = {"password": PASSWORD}
    assert await world.call("DELETE", "/users/me", "root", json=body) == (409, "last_superadmin")
    await Users(world.database).set_role(world.people["admin"].id, Role.SUPERADMIN)
    answers = await asyncio.gather(
        *(world.call("DELETE", "/users/me", name, json=body) for name in ("root", "admin"))
    )
    assert sorted(status for status, _ in answers) == [200, 409]


async def test_a_name_of_a_deleted_account_stays_taken_but_the_address_is_free(world: PeopleWorld) -> None:
    await world.call("DELETE", "/users/me", "alice", json={"password": PASSWORD})
    with pytest.raises(Conflict):
        await Users(world.database).add("Alice", "new@example.com", "hash")
    await Users(world.database).add("alice2", "alice@example.com", "hash")
