"""The audit log."""

from storage.database import Database
from storage.ids import new_id
from storage.repositories.audit import AuditFilter, AuditLog
from storage.repositories.users import Users


async def test_an_entry_is_read_as_it_was_added(database: Database) -> None:
    user = await Users(database).add("alice", "alice@example.org", "x")
    log = AuditLog(database)
    await log.add(user.id, "room.deleted", "room", "7", "192.0.2.1", {"title": "Ä\u2028", "count": 2})
    [entry] = await log.list(AuditFilter())
    assert (entry.actor_id, entry.actor_name, entry.action) == (user.id, "alice", "room.deleted")
    assert (entry.subject_kind, entry.subject_id, entry.address) == ("room", "7", "192.0.2.1")
    assert entry.details == {"title": "Ä\u2028", "count": 2}
    assert entry.at.tzinfo is not None


async def test_the_newest_come_first_page_by_page(database: Database) -> None:
    log = AuditLog(database)
    for number in range(5):
        await log.add(None, "session.refused", "user", str(number), "192.0.2.1")
    first = await log.list(AuditFilter(), limit=3)
    rest = await log.list(AuditFilter(), before=first[-1].id, limit=3)
    assert len(first) == 3
    assert {entry.subject_id for entry in first + rest} == {"0", "1", "2", "3", "4"}
    ids = [entry.id for entry in first + rest]
    assert ids == sorted(ids, reverse=True)


async def test_filters_join(database: Database) -> None:
    log = AuditLog(database)
    actor = new_id()
    await log.add(actor, "user.banned", "user", "1", "192.0.2.1")
    await log.add(actor, "room.deleted", "room", "1", "192.0.2.1")
    await log.add(None, "user.banned", "user", "2", "192.0.2.1")

    async def actions(wanted: AuditFilter) -> list[tuple[str, str | None]]:
        return sorted((entry.action, entry.subject_id) for entry in await log.list(wanted))

    assert await actions(AuditFilter(actor_id=actor)) == [("room.deleted", "1"), ("user.banned", "1")]
    assert await actions(AuditFilter(action="user.banned")) == [("user.banned", "1"), ("user.banned", "2")]
    assert await actions(AuditFilter(subject_kind="user", subject_id="1")) == [("user.banned", "1")]
    assert await actions(AuditFilter(actor_id=actor, action="user.banned")) == [("user.banned", "1")]


async def test_an_overlong_address_is_cut(database: Database) -> None:
    log = AuditLog(database)
    await log.add(None, "session.refused", "user", None, "x" * 1000)
    [entry] = await log.list(AuditFilter())
    assert len(entry.address) == 64
