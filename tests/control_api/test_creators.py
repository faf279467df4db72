"""Applications to become a creator over HTTP."""

import asyncio

import pytest

from storage.bus import UserChanged
from storage.ids import new_id
from tests.control_api.people_world import PeopleWorld, world

__all__ = ["world"]

QUEUE = "/admin/creator-applications"


async def apply(world: PeopleWorld, name: str = "alice") -> str:
    status, application = await world.call("POST", "/creators/apply", name, json={"text": "I cook."})
    assert (status, application["state"]) == (201, "pending")
    return str(application["id"])


async def test_who_is_approved_is_a_creator(world: PeopleWorld) -> None:
    application_id = await apply(world)
    (waiting,), _ = await world.page(QUEUE, "admin")
    assert (waiting["id"], waiting["username"], waiting["text"]) == (application_id, "alice", "I cook.")
    status, decided = await world.call(
        "POST", f"{QUEUE}/{application_id}/approve", "admin", json={"note": "Welcome"}
    )
    assert (status, decided["state"], decided["note"]) == (200, "approved", "Welcome")
    assert (await world.call("GET", "/users/alice"))[1]["isCreator"]
    assert world.events == [UserChanged(world.id("alice"))]
    assert await world.audited() == ["creator_application.approved"]
    assert await world.told("alice") == [("creator_decision", {"isApproved": True})]
    assert (await world.page(QUEUE, "admin"))[0] == []
    assert await world.call("POST", "/creators/apply", "alice", json={"text": "Again"}) == (
        409,
        "already_creator",
    )


async def test_who_is_rejected_may_apply_again(world: PeopleWorld) -> None:
    application_id = await apply(world)
    status, _ = await world.call("POST", f"{QUEUE}/{application_id}/reject", "admin", json={})
    assert status == 200
    assert not (await world.call("GET", "/users/alice"))[1]["isCreator"]
    assert await world.call("POST", f"{QUEUE}/{application_id}/approve", "admin", json={}) == (
        409,
        "already_decided",
    )
    await apply(world)


async def test_one_application_waits_at_a_time(world: PeopleWorld) -> None:
    calls = (world.call("POST", "/creators/apply", "alice", json={"text": "Me"}) for _ in range(4))
    assert sorted(status for status, _ in await asyncio.gather(*calls)) == [201, 409, 409, 409]
    answer = await world.call("POST", "/creators/apply", "alice", json={"text": "Me"})
    assert answer == (409, "application_pending")


async def test_of_two_decisions_one_counts(world: PeopleWorld) -> None:
    application_id = await apply(world)
    answers = await asyncio.gather(
        world.call("POST", f"{QUEUE}/{application_id}/approve", "admin", json={}),
        world.call("POST", f"{QUEUE}/{application_id}/reject", "root", json={}),
    )
    assert sorted(status for status, _ in answers) == [200, 409]
    is_creator = (await world.call("GET", "/users/alice"))[1]["isCreator"]
    assert is_creator == (answers[0][0] == 200)


@pytest.mark.parametrize("text", ["", "   ", "x" * 2001, "\u0000", "a\u0008", 7, None])
async def test_a_bad_application_is_refused(world: PeopleWorld, text: object) -> None:
    assert (await world.call("POST", "/creators/apply", "alice", json={"text": text}))[0] == 400


async def test_administrators_alone_decide(world: PeopleWorld) -> None:
    application_id = await apply(world)
    path = f"{QUEUE}/{application_id}/approve"
    assert await world.call("POST", path, json={}) == (401, "unauthorized")
    for name in ("alice", "mod"):
        assert await world.call("POST", path, name, json={}) == (403, "forbidden")
        assert await world.call("GET", QUEUE, name) == (403, "forbidden")
    missing = await world.call("POST", f"{QUEUE}/{new_id()}/approve", "admin", json={})
    assert missing == (404, "creator_application_not_found")
