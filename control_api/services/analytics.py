"""How rooms were watched, for those who own them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, Protocol
from uuid import UUID

from control_api.errors import invalid
from control_api.principal import Principal
from storage.database import Executor
from storage.repositories.analytics import Analytics, PlayerTotal, Point, RoomTotal, Viewers

MAX_POINTS: Final = 1500
MAX_RANGE: Final = timedelta(days=400)
DEFAULT_RANGE: Final = timedelta(days=1)
YEARS: Final = range(2000, 3000)


class Step(Enum):
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        return _LENGTHS[self]


_LENGTHS: Final = {
    Step.MINUTE: timedelta(minutes=1),
    Step.HOUR: timedelta(hours=1),
    Step.DAY: timedelta(days=1),
}


@dataclass(frozen=True, slots=True)
class Range:
    """From the start of a step until ``end``, in UTC; at most MAX_POINTS steps."""

    start: datetime
    end: datetime
    step: Step

    @classmethod
    def of(cls, start: datetime | None, end: datetime | None, step: Step | None) -> "Range":
        """What is None is chosen: the last day, in steps that make a readable curve. Raises ApiError 400."""
        end = _in_utc("to", end) if end is not None else datetime.now(UTC)
        start = _in_utc("from", start) if start is not None else end - DEFAULT_RANGE
        length = end - start
        if not timedelta() < length <= MAX_RANGE:
            raise invalid("from", f"must be before to, by {MAX_RANGE.days} days at most")
        step = step or _fitting_step(length)
        if length / step.length > MAX_POINTS:
            raise invalid("step", f"makes more than {MAX_POINTS} points of this range")
        return cls(_start_of(start, step), end, step)


@dataclass(frozen=True, slots=True)
class Curve:
    """``points`` are of those steps only in which something was live or somebody followed."""

    range: Range
    points: Sequence[Point]
    total: Point


@dataclass(frozen=True, slots=True)
class Dashboard:
    curve: Curve
    rooms: Sequence[RoomTotal]


@dataclass(frozen=True, slots=True)
class Audience:
    """Signed-in viewers, and what the players of all viewers reported."""

    range: Range
    viewers: Viewers
    players: Sequence[PlayerTotal]

    def watch_seconds_by(self, attribute: str) -> Counter[str]:
        """``attribute`` is "protocol" or "device"."""
        return _summed((getattr(total, attribute), total.watch_seconds) for total in self.players)

    def joins_by(self, attribute: str) -> Counter[str]:
        return _summed((getattr(total, attribute), total.joins) for total in self.players)


class ManagedRooms(Protocol):
    """Who may look behind a room; see control_api.services.rooms.RoomsService."""

    async def managed(self, principal: Principal, room_id: UUID) -> object:
        """Raises ApiError 404 or 403 for those who may not."""


class AnalyticsService:
    def __init__(self, database: Executor, rooms: ManagedRooms) -> None:
        self._rooms = rooms
        self._analytics = Analytics(database)

    async def room(self, principal: Principal, room_id: UUID, chosen: Range) -> Curve:
        """For the owner of the room and administrators. Raises ApiError 403, 404."""
        await self._rooms.managed(principal, room_id)
        points = await self._analytics.points([room_id], chosen.start, chosen.end, chosen.step.length)
        return Curve(chosen, points, _total(points, chosen))

    async def dashboard(self, owner_id: UUID, chosen: Range) -> Dashboard:
        """All rooms of a creator together. Followers are counted whether a room was live or not."""
        rooms = await self._analytics.find_rooms_of(owner_id)
        step = chosen.step.length
        points = await self._analytics.points(rooms, chosen.start, chosen.end, step)
        followers = await self._analytics.followers_gained(owner_id, chosen.start, chosen.end, step)
        merged = _with_followers(points, followers)
        totals = await self._analytics.totals(rooms, chosen.start, chosen.end)
        return Dashboard(Curve(chosen, merged, _total(merged, chosen)), totals)

    async def audience(self, owner_id: UUID, chosen: Range) -> Audience:
        """Who watched a creator's rooms, by whole days."""
        rooms = await self._analytics.find_rooms_of(owner_id)
        viewers = await self._analytics.viewers(rooms, owner_id, chosen.start, chosen.end)
        players = await self._analytics.players(rooms, chosen.start, chosen.end)
        return Audience(chosen, viewers, players)


def _in_utc(field: str, moment: datetime) -> datetime:
    # Near the ends of the calendar there is no UTC for every time.
    if moment.year not in YEARS:
        raise invalid(field, f"must be between {YEARS[0]} and {YEARS[-1]}")
    return moment.astimezone(UTC)


def _fitting_step(length: timedelta) -> Step:
    if length <= timedelta(hours=6):
        return Step.MINUTE
    return Step.HOUR if length <= timedelta(days=14) else Step.DAY


def _start_of(moment: datetime, step: Step) -> datetime:
    start = moment.replace(second=0, microsecond=0)
    if step is not Step.MINUTE:
        start = start.replace(minute=0)
    return start.replace(hour=0) if step is Step.DAY else start


def _with_followers(points: Sequence[Point], followers: dict[datetime, int]) -> list[Point]:
    known = {point.at: point for point in points}
    nothing = Point(datetime.min, 0, 0, 0, 0, 0)
    return [
        Point(
            at,
            (point := known.get(at, nothing)).peak_viewers,
            point.watch_seconds,
            point.live_seconds,
            point.joins,
            followers.get(at, 0),
        )
        for at in sorted(known.keys() | followers.keys())
    ]


def _total(points: Sequence[Point], chosen: Range) -> Point:
    return Point(
        chosen.start,
        max((point.peak_viewers for point in points), default=0),
        sum(point.watch_seconds for point in points),
        sum(point.live_seconds for point in points),
        sum(point.joins for point in points),
        sum(point.followers_gained for point in points),
    )


def _summed(pairs: Iterable[tuple[str, int]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for name, count in pairs:
        counts[name] += count
    return counts
