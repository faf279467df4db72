"""GET /admin/audit."""

from uuid import UUID

import pytest

from storage.bus import UserChanged
from storage.repositories.users import Role, Users
from tests.control_api.identity.house import House


async def signed_in_as(house: House, role: Role) -> str:
    answer = await house.register("alice")
    user_id = UUID(answer.data["user"]["id"])
    await Users(house.database).set_role(user_id, role)
    house.bus.publish(UserChanged(str(user_id)))
    return str(answer.data["accessToken"])


@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.USER, 403), (Role.MODERATOR, 403), (Role.ADMIN, 200), (Role.SUPERADMIN, 200)],
)
async def test_is_for_administrators(house: House, role: Role, status: int) -> None:
    token = await signed_in_as(house, role)
    assert (await house.call("GET", "/admin/audit", token=token)).status == status
    assert (await house.call("GET", "/admin/audit")).status == 401


async def test_tells_what_happened_page_by_page(house: House) -> None:
    token = await signed_in_as(house, Role.ADMIN)
    for _ in range(3):
        await house.login("alice", "wrong password")
    first = await house.call("GET", "/admin/audit?limit=3", token=token)
    assert len(first.data) == 3
    cursor = first.body["meta"]["nextCursor"]
    rest = await house.call("GET", f"/admin/audit?limit=3&cursor={cursor}", token=token)
    actions = [entry["action"] for entry in first.data + rest.data]
    assert sorted(actions) == ["session.opened", *["session.refused"] * 3, "user.registered"]
    assert rest.body["meta"]["nextCursor"] is None


async def test_filters(house: House) -> None:
    token = await signed_in_as(house, Role.ADMIN)
    await house.login("alice", "wrong password")
    [refused] = (await house.call("GET", "/admin/audit?action=session.refused", token=token)).data
    assert refused["actor"] is None
    assert refused["details"] == {"reason": "invalid_credentials"}
    assert refused["address"] == "127.0.0.1"
    path = f"/admin/audit?subjectKind=user&subjectId={refused['subjectId']}"
    assert len((await house.call("GET", path, token=token)).data) == 2
    path = f"/admin/audit?actor={refused['subjectId']}"
    found = (await house.call("GET", path, token=token)).data
    assert {entry["actorName"] for entry in found} == {"alice"}
    assert len(found) == 2


@pytest.mark.parametrize("query", ["actor=me", "limit=0", "limit=101", "cursor=x", "who=me", "action="])
async def test_bad_input(house: House, query: str) -> None:
    token = await signed_in_as(house, Role.ADMIN)
    assert (await house.call("GET", f"/admin/audit?{query}", token=token)).status == 400
