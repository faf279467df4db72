"""What creators earned: by time, kind and room, as tables, and what moved on the whole server."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from control_api.services.revenue import month_of
from storage.ids import new_id
from storage.repositories.ledger import Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind
from storage.repositories.revenue import STATEMENT, IdRange
from tests.control_api.money_world import live_room
from tests.control_api.payouts_world import payouts_world

REVENUE = "/analytics/revenue"


@pytest.fixture
async def world(database, aiohttp_client):
    world = await payouts_world(database, aiohttp_client)
    await world.move(AccountKind.PLATFORM, AccountKind.EARNINGS, "carol", 1, TransferKind.ADJUSTMENT)
    return world


async def give(world, coins, room_id=None):
    """A tip of bob's to alice."""
    bob = world.people["bob"].id
    await world.database.execute("UPDATE users SET email_verified_at = now() WHERE id = $1", bob)
    room_id = room_id or world.world.room_id
    await world.world.money.gifts.tip(bob, room_id, str(new_id()), coins, "")


async def subscribe(world, user, gross, share):
    """What a paid invoice does."""
    kinds = (AccountKind.PROVIDER, AccountKind.PLATFORM, AccountKind.EARNINGS)
    owners = (None, None, world.people[user].id)
    wanted = [Account(kind, "usd", owner) for kind, owner in zip(kinds, owners, strict=True)]
    ids = await world.world.money.accounts.ids(wanted)
    amounts = (-gross, gross - share, share)
    lines = tuple(Line(number, amount) for number, amount in zip(ids, amounts, strict=True))
    transfer = NewTransfer(TransferKind.SUBSCRIPTION, "test", str(new_id()), "", lines)
    await Ledger(world.database).post(transfer)


def by_kind(view):
    return {each["kind"]: (each["count"], each["gross"], each["share"], each["refunds"]) for each in view}


async def test_nobody_has_earned_anything_at_first(world):
    status, view = await world.call("GET", REVENUE, "alice")
    assert (status, view["totals"], view["points"], view["rooms"]) == (200, [], [], [])
    assert await world.call("GET", REVENUE) == (401, "unauthorized")


async def test_revenue_by_kind_and_room(world):
    other = await live_room(world.world.money, world.people["alice"])
    await give(world, 30)
    await give(world, 20, other)
    await subscribe(world, "alice", 1000, 700)
    await world.move(AccountKind.EARNINGS, AccountKind.PROVIDER, "alice", 200, TransferKind.REFUND)
    _, view = await world.call("GET", f"{REVENUE}?step=month", "alice")
    assert by_kind(view["totals"]) == {
        "tips": (2, 50, 35, 0),
        "subscriptions": (1, 1000, 700, 0),
        "refunds": (1, 0, 0, 200),
    }
    assert by_kind(view["points"]) == by_kind(view["totals"])
    rooms = [(room["id"], room["gross"], room["share"], room["title"]) for room in view["rooms"]]
    assert rooms == [(str(world.world.room_id), 30, 21, "A room"), (str(other), 20, 14, "A room")]
    assert (await world.call("GET", REVENUE, "bob"))[1]["totals"] == []


async def test_payouts_are_no_revenue(world):
    await world.onboard("alice")
    await subscribe(world, "alice", 10_000, 7_000)
    await world.paying.job.work_once()
    _, view = await world.call("GET", REVENUE, "alice")
    assert by_kind(view["totals"]) == {"subscriptions": (1, 10_000, 7_000, 0)}


@pytest.mark.parametrize("step", ["day", "week", "month"])
async def test_points_are_at_the_beginning_of_steps(world, step):
    await give(world, 10)
    start = (datetime.now(UTC) - timedelta(days=100)).date()
    path = f"{REVENUE}?from={start}T00:00:00Z&step={step}"
    _, view = await world.call("GET", path, "alice")
    (point,) = view["points"]
    today = datetime.now(UTC).date()
    first = {"day": today, "week": today - timedelta(days=today.weekday()), "month": today.replace(day=1)}
    assert point["at"] == first[step].isoformat()


@pytest.mark.parametrize(
    "query",
    [
        "from=x",
        "from=2026-01-01",
        "from=2026-01-01T00:00:00Z&to=2025-01-01T00:00:00Z",
        "from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "from=0001-01-01T00:00:00Z",
        "to=9999-12-31T23:59:59-23:59",
        "step=minute",
        "room=1",
    ],
)
@pytest.mark.parametrize("path", [REVENUE, f"{REVENUE}.csv", "/admin/revenue"])
async def test_ranges_that_cannot_be(world, path, query):
    assert await world.call("GET", f"{path}?{query}", "admin") == (400, "invalid_request")


async def table(world, path, user="alice"):
    response = await world.world.api.client.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {user}"})
    assert (response.status, response.content_type) == (200, "text/csv")
    assert "attachment" in response.headers["Content-Disposition"]
    return list(csv.reader(io.StringIO(await response.text())))


async def test_revenue_as_a_table(world):
    await give(world, 50)
    await subscribe(world, "alice", 1000, 700)
    head, *rows = await table(world, f"{REVENUE}.csv")
    assert head == ["from", "kind", "currency", "count", "gross", "share", "refunds"]
    today = datetime.now(UTC).date().isoformat()
    assert rows == [
        [today, "subscriptions", "usd", "1", "10.00", "7.00", "0.00"],
        [today, "tips", "usd", "1", "0.50", "0.35", "0.00"],
    ]


def month(offset=0):
    now = datetime.now(UTC).replace(day=15) + timedelta(days=31 * offset)
    return f"{now:%Y-%m}"


async def test_a_statement_adds_up(world):
    await world.onboard("alice")
    await give(world, 50)
    await subscribe(world, "alice", 10_000, 7_000)
    await world.move(AccountKind.EARNINGS, AccountKind.PROVIDER, "alice", 1000, TransferKind.REFUND)
    await world.paying.job.work_once()
    await subscribe(world, "alice", 100, 70)
    head, *rows = await table(world, f"/payouts/statements?month={month()}")
    assert head == ["month", "currency", "item", "count", "amount"]
    assert [row[2:] for row in rows] == [
        ["opening balance", "", "0.00"],
        ["payout", "1", "-60.35"],
        ["refund", "1", "-10.00"],
        ["subscription", "2", "70.70"],
        ["tip", "1", "0.35"],
        ["closing balance", "", "0.70"],
    ]
    cents = [round(float(row[4]) * 100) for row in rows]
    assert sum(cents[:-1]) == cents[-1]
    later = await table(world, f"/payouts/statements?month={month(1)}")
    assert [row[2:] for row in later[1:]] == [
        ["opening balance", "", "0.70"],
        ["closing balance", "", "0.70"],
    ]
    assert await table(world, f"/payouts/statements?month={month(-1)}") == [head]


async def long_ago(world, user, count):
    """So many cents were earned, each by itself, two years ago."""
    wanted = [
        Account(AccountKind.PLATFORM, "usd"),
        Account(AccountKind.EARNINGS, "usd", world.people[user].id),
    ]
    platform, earnings = await world.world.money.accounts.ids(wanted)
    begin = IdRange.of(datetime.now(UTC) - timedelta(days=730), datetime.now(UTC)).start
    ids = [UUID(int=begin.int + number) for number in range(count)]
    await world.database.execute(
        """INSERT INTO ledger_transfers (id, kind, scope, key, fingerprint)
           SELECT id, 'adjustment', 'test', id::text, '' FROM unnest($1::uuid[]) AS id""",
        ids,
    )
    await world.database.execute(
        """INSERT INTO ledger_entries (transfer_id, place, account_id, currency, amount)
           SELECT id, line.place, line.account_id, 'usd', line.amount
           FROM unnest($1::uuid[]) AS id
           CROSS JOIN (VALUES (0, $2::bigint, -1), (1, $3::bigint, 1)) AS line (place, account_id, amount)""",
        ids,
        platform,
        earnings,
    )


async def entries_read(world, user, ids):
    """How many entries PostgreSQL looks at for a statement, where it uses its indexes."""
    async with world.database.transaction() as transaction:
        await transaction.execute("SET LOCAL enable_seqscan = off")
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {STATEMENT}"
        told = await transaction.fetch_value(explain, world.people[user].id, ids.start, ids.end)
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes(json.loads(told)[0]["Plan"])
        if node.get("Index Name", "").startswith("ledger_entries")
        or node.get("Relation Name") == "ledger_entries"
    )


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def test_a_statement_does_not_read_what_was_before(world):
    await long_ago(world, "alice", 300)
    await subscribe(world, "alice", 100, 70)
    _, *rows = await table(world, f"/payouts/statements?month={month()}")
    assert [row[2:] for row in rows] == [
        ["opening balance", "", "3.00"],
        ["subscription", "1", "0.70"],
        ["closing balance", "", "3.70"],
    ]
    _, *before = await table(world, f"/payouts/statements?month={month(-1)}")
    assert [row[2:] for row in before] == [
        ["opening balance", "", "3.00"],
        ["closing balance", "", "3.00"],
    ]
    assert 0 < await entries_read(world, "alice", IdRange.of(*month_of(month()))) < 20


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-13", "2026-00", "1999-12", "2026-1", "2026-0\u0661", "2026-01-01"]
)
async def test_months_that_are_none(world, text):
    assert await world.call("GET", f"/payouts/statements?month={text}", "alice") == (400, "invalid_request")


async def test_a_statement_needs_a_month_and_somebody(world):
    assert await world.call("GET", "/payouts/statements", "alice") == (400, "invalid_request")
    assert await world.call("GET", "/payouts/statements?month=2026-01") == (401, "unauthorized")


async def test_administrators_see_what_moved(world):
    await subscribe(world, "alice", 1000, 700)
    status, view = await world.call("GET", "/admin/revenue", "admin")
    assert status == 200
    flows = {
        (flow["kind"], flow["account"]): (flow["entries"], flow["added"], flow["taken"])
        for flow in view["flows"]
    }
    assert flows[("subscription", "earnings")] == (1, 700, 0)
    assert flows[("subscription", "platform")] == (1, 300, 0)
    assert flows[("subscription", "provider")] == (1, 0, 1000)
    assert await world.call("GET", "/admin/revenue", "alice") == (403, "forbidden")
