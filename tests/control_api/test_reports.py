"""Reports and the moderators' queue over HTTP."""

import asyncio

import pytest

from storage.ids import new_id
from storage.repositories import Rooms
from tests.control_api.people_world import PeopleWorld, world

__all__ = ["world"]


def report(kind: str, subject_id: object, **more: object) -> dict[str, object]:
    return {"subjectKind": kind, "subjectId": str(subject_id), "reason": "spam", **more}


async def test_a_report_is_made_once_while_it_is_open(world: PeopleWorld) -> None:
    body = report("user", world.id("bob"), text="He sells\nwatches")
    answers = await asyncio.gather(*(world.call("POST", "/reports", "alice", json=body) for _ in range(4)))
    assert sorted(status for status, _ in answers) == [201, 409, 409, 409]
    assert await world.call("POST", "/reports", "alice", json=body) == (409, "already_reported")
    assert (await world.call("POST", "/reports", "mod", json=body))[0] == 201
    (first, *_), _ = await world.page("/admin/reports", "mod")
    assert (first["reporterName"], first["text"], first["state"]) == ("alice", "He sells\nwatches", "open")

    path = f"/admin/reports/{first['id']}/resolve"
    status, settled = await world.call("POST", path, "mod", json={"resolution": "dismissed", "note": "No."})
    assert (status, settled["state"], settled["note"]) == (200, "dismissed", "No.")
    assert settled["resolvedBy"] == world.id("mod")
    assert await world.call("POST", path, "admin", json={"resolution": "actioned"}) == (
        409,
        "already_resolved",
    )
    assert await world.audited() == ["report.resolved"]
    assert (await world.call("POST", "/reports", "alice", json=body))[0] == 201
    (dismissed,), _ = await world.page("/admin/reports?state=dismissed", "admin")
    assert dismissed["id"] == first["id"]


async def test_rooms_and_messages_are_reported_too(world: PeopleWorld) -> None:
    room_id = await Rooms(world.database).add(world.people["bob"].id, "Room", None)
    for body in (report("room", room_id), report("message", new_id())):
        assert (await world.call("POST", "/reports", "alice", json=body))[0] == 201


@pytest.mark.parametrize("kind", ["user", "room"])
async def test_what_is_not_there_cannot_be_reported(world: PeopleWorld, kind: str) -> None:
    answer = await world.call("POST", "/reports", "alice", json=report(kind, new_id()))
    assert answer == (404, f"{kind}_not_found")


async def test_nobody_reports_himself(world: PeopleWorld) -> None:
    body = report("user", world.id("alice"))
    assert await world.call("POST", "/reports", "alice", json=body) == (400, "invalid_request")


@pytest.mark.parametrize(
    "change",
    [
        {"reason": "boredom"},
        {"reason": None},
        {"subjectKind": "planet"},
        {"subjectId": "bob"},
        {"text": "x" * 1001},
        {"text": "a\u0007"},
        {"extra": 1},
    ],
)
async def test_a_bad_report_is_refused(world: PeopleWorld, change: dict[str, object]) -> None:
    body = report("user", world.id("bob")) | change
    assert (await world.call("POST", "/reports", "alice", json=body))[0] == 400


async def test_the_queue_is_for_moderators(world: PeopleWorld) -> None:
    resolve = f"/admin/reports/{new_id()}/resolve"
    for method, path, options in (
        ("GET", "/admin/reports", {}),
        ("POST", resolve, {"json": {"resolution": "actioned"}}),
    ):
        assert await world.call(method, path, None, **options) == (401, "unauthorized")
        assert await world.call(method, path, "alice", **options) == (403, "forbidden")
    assert await world.call("POST", resolve, "mod", json={"resolution": "actioned"}) == (
        404,
        "report_not_found",
    )
    assert (await world.call("POST", resolve, "mod", json={"resolution": "open"}))[0] == 400


async def test_the_queue_goes_on_where_it_ended(world: PeopleWorld) -> None:
    for name in ("alice", "mod", "admin"):
        await world.call("POST", "/reports", name, json=report("user", world.id("bob")))
    first, cursor = await world.page("/admin/reports?limit=2", "mod")
    rest, end = await world.page(f"/admin/reports?limit=2&cursor={cursor}", "mod")
    assert [one["reporterName"] for one in first + rest] == ["alice", "mod", "admin"] and end is None
    assert (await world.call("GET", "/admin/reports?cursor=WzFd", "mod"))[0] == 400


async def test_the_reporter_hears_of_the_end(world: PeopleWorld) -> None:
    await world.call("POST", "/reports", "alice", json=report("user", world.id("bob")))
    (waiting,), _ = await world.page("/admin/reports", "mod")
    body = {"resolution": "actioned"}
    assert (await world.call("POST", f"/admin/reports/{waiting['id']}/resolve", "mod", json=body))[0] == 200
    assert await world.told("alice") == [("report_resolved", {"reportId": waiting["id"]})]
    assert await world.told("bob") == []
