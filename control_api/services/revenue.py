"""Revenue: what a creator earned, month's statements, and all that moved on the server."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

from control_api.errors import invalid
from control_api.services.money import MoneyOptions, written_amount
from control_api.services.payout_rules import csv_cell
from storage.database import Database
from storage.repositories.ledger import TransferKind
from storage.repositories.revenue import Flow, IdRange, Revenue, RoomRevenue, StatementLine

DEFAULT_RANGE: Final = timedelta(days=30)
MAX_RANGE: Final = timedelta(days=400)
YEARS: Final = range(2000, 3000)


class RevenueStep(Enum):
    """Weeks begin on Mondays."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class RevenueKind(Enum):
    GIFTS = "gifts"
    TIPS = "tips"
    SUBSCRIPTIONS = "subscriptions"
    REFUNDS = "refunds"


_KINDS: Final = {
    TransferKind.GIFT: RevenueKind.GIFTS,
    TransferKind.TIP: RevenueKind.TIPS,
    TransferKind.SUBSCRIPTION: RevenueKind.SUBSCRIPTIONS,
    TransferKind.REFUND: RevenueKind.REFUNDS,
    TransferKind.DISPUTE: RevenueKind.REFUNDS,
}


@dataclass(frozen=True, slots=True)
class RevenueRange:
    """In UTC, from the start of a day."""

    start: datetime
    end: datetime
    step: RevenueStep

    @classmethod
    def of(cls, start: datetime | None, end: datetime | None, step: RevenueStep) -> "RevenueRange":
        """By default the last 30 days. Raises ApiError 400."""
        end = _in_utc("to", end) if end is not None else datetime.now(UTC)
        start = _in_utc("from", start) if start is not None else end - DEFAULT_RANGE
        start = start.replace(hour=0, minute=0, second=0, microsecond=0)
        if not timedelta() < end - start <= MAX_RANGE:
            raise invalid("from", f"must be before to, by {MAX_RANGE.days} days at most")
        return cls(start, end, step)

    @property
    def ids(self) -> IdRange:
        return IdRange.of(self.start, self.end)


@dataclass(slots=True)
class Earned:
    """In minor units: what people paid, the creator's part of it, and what was taken back of that."""

    count: int = 0
    gross: int = 0
    share: int = 0
    refunds: int = 0

    def add(self, other: "Earned") -> None:
        self.count += other.count
        self.gross += other.gross
        self.share += other.share
        self.refunds += other.refunds


@dataclass(frozen=True, slots=True)
class RevenuePoint:
    at: datetime
    kind: RevenueKind
    currency: str
    earned: Earned


@dataclass(frozen=True, slots=True)
class RevenueTotal:
    kind: RevenueKind
    currency: str
    earned: Earned = field(default_factory=Earned)


@dataclass(frozen=True, slots=True)
class RoomEarned:
    room: RoomRevenue
    gross: int


@dataclass(frozen=True, slots=True)
class RevenueReport:
    """``rooms`` of gifts and tips alone: subscriptions are to a creator, not to a room."""

    range: RevenueRange
    points: Sequence[RevenuePoint]
    totals: Sequence[RevenueTotal]
    rooms: Sequence[RoomEarned]


class RevenueService:
    def __init__(self, database: Database, options: MoneyOptions | None = None) -> None:
        self._revenue = Revenue(database)
        self._options = options or MoneyOptions()

    async def report(self, user_id: UUID, chosen: RevenueRange) -> RevenueReport:
        points = await self._points(user_id, chosen)
        found = await self._revenue.rooms(user_id, chosen.ids)
        rooms = [RoomEarned(room, room.coins * self._options.coin_value) for room in found]
        return RevenueReport(chosen, points, _totals(points), rooms)

    async def report_csv(self, user_id: UUID, chosen: RevenueRange) -> bytes:
        """The points of a report, as people write amounts."""
        rows = [["from", "kind", "currency", "count", "gross", "share", "refunds"]]
        for point in await self._points(user_id, chosen):
            earned, currency = point.earned, point.currency
            amounts = (earned.gross, earned.share, earned.refunds)
            rows.append(
                [point.at.date().isoformat(), point.kind.value, currency, str(earned.count)]
                + [written_amount(amount, currency) for amount in amounts]
            )
        return csv_bytes(rows)

    async def statement(self, user_id: UUID, month: str) -> bytes:
        """A month of the earnings as CSV: what was there, what changed it by kind, what is left.

        Raises ApiError 400.
        """
        rows = [["month", "currency", "item", "count", "amount"]]
        for each in await self._revenue.statement(user_id, IdRange.of(*month_of(month))):
            if not each.lines and each.closing == 0:
                continue
            begin, currency = [month, each.currency], each.currency
            rows.append([*begin, "opening balance", "", written_amount(each.opening, currency)])
            rows += [[*begin, *_item(line, currency)] for line in each.lines]
            rows.append([*begin, "closing balance", "", written_amount(each.closing, currency)])
        return csv_bytes(rows)

    async def flows(self, chosen: RevenueRange) -> list[Flow]:
        """Of the whole server, for administrators."""
        return await self._revenue.flows(chosen.ids)

    async def _points(self, user_id: UUID, chosen: RevenueRange) -> list[RevenuePoint]:
        ids, step = chosen.ids, chosen.step.value
        points = []
        for gift in await self._revenue.gifts(user_id, ids, step, chosen.start):
            gross = gift.coins * self._options.coin_value
            earned = Earned(gift.count, gross, gift.earned)
            points.append(RevenuePoint(gift.at, _KINDS[gift.kind], gift.currency, earned))
        for other in await self._revenue.others(user_id, ids, step, chosen.start):
            kind = _KINDS[other.kind]
            if kind is RevenueKind.REFUNDS:
                earned = Earned(other.count, refunds=-other.earned)
            else:
                earned = Earned(other.count, other.gross, other.earned)
            points.append(RevenuePoint(other.at, kind, other.currency, earned))
        return sorted(points, key=lambda point: (point.at, point.kind.value, point.currency))


def month_of(text: str) -> tuple[datetime, datetime]:
    """Its start, and that of the next. ``text`` is YYYY-MM. Raises ApiError 400."""
    year, _, month = text.partition("-")
    is_month = len(text) == 7 and (year + month).isascii() and (year + month).isdigit()
    if not is_month or int(year) not in YEARS or not 1 <= int(month) <= 12:
        raise invalid("month", "must be a month such as 2026-01")
    start = datetime(int(year), int(month), 1, tzinfo=UTC)
    return start, (start + timedelta(days=32)).replace(day=1)


def csv_bytes(rows: Sequence[Sequence[str]]) -> bytes:
    """As RFC 4180 says, with nothing that a spreadsheet takes for a formula."""
    output = io.StringIO(newline="")
    csv.writer(output).writerows([csv_cell(cell) for cell in row] for row in rows)
    return output.getvalue().encode()


def _item(line: StatementLine, currency: str) -> list[str]:
    return [line.kind.value.replace("_", " "), str(line.count), written_amount(line.amount, currency)]


def _totals(points: Sequence[RevenuePoint]) -> list[RevenueTotal]:
    totals: dict[tuple[str, str], RevenueTotal] = {}
    for point in points:
        key = (point.kind.value, point.currency)
        total = totals.setdefault(key, RevenueTotal(point.kind, point.currency))
        total.earned.add(point.earned)
    return [totals[key] for key in sorted(totals)]


def _in_utc(name: str, moment: datetime) -> datetime:
    # Near the ends of the calendar there is no UTC for every time.
    if moment.year not in YEARS:
        raise invalid(name, f"must be between {YEARS[0]} and {YEARS[-1]}")
    return moment.astimezone(UTC)
