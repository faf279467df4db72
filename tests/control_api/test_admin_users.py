"""What administrators see of users and may change of whom."""

import pytest

from control_api.errors import ApiError
from control_api.principal import Principal
from control_api.services.admin_users import OPERATOR, AdminUserService, UserChange
from storage.bus import Bus, UserChanged
from storage.ids import new_id
from storage.repositories import Role, Users, UserState
from tests.control_api.people_world import PeopleWorld, world

__all__ = ["world"]


async def change(world: PeopleWorld, actor: str | None, target: str, **body: object) -> tuple[int, object]:
    status, data = await world.call(
        "PATCH", f"/admin/users/{world.id(target)}", actor, json={"reason": "because", **body}
    )
    return status, data


async def names(world: PeopleWorld, query: str = "") -> list[str]:
    users, _ = await world.page(f"/admin/users{query}", "admin")
    return [user["username"] for user in users]


async def test_users_are_listed_by_state_role_and_how_they_begin(world: PeopleWorld) -> None:
    users = Users(world.database)
    albert = await users.add("Albert", "zoe@example.com", "hash")
    # Ids of one and the same millisecond come in any order.
    newest = sorted([*world.people.values(), albert], key=lambda user: user.id, reverse=True)
    everybody = [user.username for user in newest]
    await users.set_state(world.people["bob"].id, UserState.BANNED)
    assert await names(world) == everybody
    assert await names(world, "?state=banned") == ["bob"]
    assert await names(world, "?role=moderator") == ["mod"]
    assert sorted(await names(world, "?text=AL")) == ["Albert", "alice"]
    assert await names(world, "?text=zoe@") == ["Albert"]
    assert sorted(await names(world, "?text=al&state=active&role=user")) == ["Albert", "alice"]
    assert await names(world, "?text=%25") == []
    assert await names(world, "?text=a_") == []
    assert await names(world, "?text=%F0%9F%8E%A5") == []
    first, cursor = await world.page("/admin/users?limit=4", "admin")
    rest, end = await world.page(f"/admin/users?limit=4&cursor={cursor}", "admin")
    assert (len(first), end) == (4, None)
    assert [user["username"] for user in first + rest] == everybody
    assert first[0]["email"] == newest[0].email and "hash" not in str(first)


@pytest.mark.parametrize(
    "query", ["state=x", "role=god", "text=", "text=%00", "text=%0a", "cursor=x", "extra=1"]
)
async def test_a_bad_question_is_refused(world: PeopleWorld, query: str) -> None:
    assert (await world.call("GET", f"/admin/users?{query}", "admin"))[0] == 400


async def test_the_list_is_for_administrators(world: PeopleWorld) -> None:
    assert await world.call("GET", "/admin/users") == (401, "unauthorized")
    for name in ("alice", "mod"):
        assert await world.call("GET", "/admin/users", name) == (403, "forbidden")
        assert await change(world, name, "bob", state="banned") == (403, "forbidden")


async def test_a_change_is_made_told_and_audited(world: PeopleWorld) -> None:
    status, changed = await change(world, "admin", "bob", state="suspended", role="moderator", isCreator=True)
    assert status == 200 and isinstance(changed, dict)
    assert (changed["state"], changed["role"], changed["isCreator"]) == ("suspended", "moderator", True)
    assert world.events == [UserChanged(world.id("bob"))]
    details = await world.database.fetch_value("SELECT details::text FROM audit_log")
    for part in ("because", "active", "suspended", "moderator"):
        assert part in details
    assert (await change(world, "admin", "bob", state="active"))[0] == 200
    found = await Users(world.database).find_by_id(world.people["bob"].id)
    assert found is not None and (found.state, found.role) == (UserState.ACTIVE, Role.MODERATOR)


@pytest.mark.parametrize(
    ("actor", "target", "body", "is_allowed"),
    [
        ("admin", "alice", {"role": "moderator"}, True),
        ("admin", "mod", {"role": "user"}, True),
        ("admin", "mod", {"state": "banned"}, True),
        ("admin", "alice", {"role": "admin"}, False),
        ("admin", "admin", {"role": "user"}, False),
        ("admin", "admin", {"isCreator": True}, False),
        ("admin", "root", {"state": "banned"}, False),
        ("root", "alice", {"role": "admin"}, True),
        ("root", "admin", {"role": "user"}, True),
        ("root", "admin", {"state": "suspended"}, True),
        ("root", "root", {"role": "user"}, False),
    ],
)
async def test_ranks_decide_who_changes_whom(
    world: PeopleWorld, actor: str, target: str, body: dict[str, object], is_allowed: bool
) -> None:
    status, answer = await change(world, actor, target, **body)
    assert status == 200 if is_allowed else (status, answer) == (403, "rank_too_low")
    assert bool(world.events) == bool(await world.audited()) == is_allowed


async def test_admins_do_not_change_each_other(world: PeopleWorld) -> None:
    await change(world, "root", "alice", role="admin")
    assert await change(world, "admin", "alice", state="banned") == (403, "rank_too_low")


async def test_a_role_that_was_taken_away_counts_at_once(world: PeopleWorld) -> None:
    """The principal still says admin; the database knows better."""
    await Users(world.database).set_role(world.people["admin"].id, Role.USER)
    assert await change(world, "admin", "alice", state="banned") == (403, "rank_too_low")
    await Users(world.database).set_state(world.people["admin"].id, UserState.BANNED)
    assert (await change(world, "admin", "alice", state="banned"))[0] == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"state": "deleted"},
        {"role": "superadmin"},
        {"role": "god"},
        {"role": "user", "reason": ""},
        {"role": "user", "reason": "  "},
        {"role": "user", "reason": "x" * 501},
        {"role": "user", "reason": "a\nb"},
        {"isCreator": "yes"},
        {"email": "x@example.com"},
    ],
)
async def test_a_bad_change_is_refused(world: PeopleWorld, body: dict[str, object]) -> None:
    for actor in ("admin", "root"):
        assert (await change(world, actor, "alice", **body))[0] == 400
    assert world.events == []


async def test_who_is_gone_is_not_changed(world: PeopleWorld) -> None:
    await Users(world.database).set_state(world.people["bob"].id, UserState.DELETED)
    assert await change(world, "root", "bob", state="active") == (409, "account_deleted")
    for user_id in (new_id(), "bob"):
        answer = await world.call(
            "PATCH", f"/admin/users/{user_id}", "admin", json={"reason": "x", "role": "user"}
        )
        assert answer == (404, "user_not_found")


async def test_nobody_but_the_operator_is_the_operator(world: PeopleWorld) -> None:
    service = AdminUserService(world.database, Bus())
    demoted = UserChange("because", role=Role.USER)
    with pytest.raises(ApiError, match="Sign in first"):
        await service.change(Principal(role=Role.SUPERADMIN), world.people["admin"].id, demoted, "192.0.2.1")
    changed = await service.change(OPERATOR, world.people["admin"].id, demoted, "command line")
    assert changed.user.role is Role.USER
    with pytest.raises(ApiError) as refused:
        await service.change(OPERATOR, world.people["root"].id, demoted, "command line")
    assert refused.value.code == "last_superadmin"
