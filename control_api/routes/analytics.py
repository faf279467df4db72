"""What players report, and how a creator's rooms were watched."""

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from control_api.principal import Access
from control_api.routing import Call, Route
from control_api.schemas import Body, Data, Query
from control_api.services.analytics import AnalyticsService, Audience, Curve, Range, Step
from control_api.services.analytics_recording import (
    AnalyticsRecorder,
    Device,
    PlayerEvent,
    PlayerEventKind,
    PlayerProtocol,
)
from storage.repositories.analytics import Point

MOST_EVENTS: Final = 50
LONGEST_BEAT: Final = 60

Moment = Annotated[datetime, Meta(tz=True)]


class ReportedEvent(Body):
    """``seconds``: watched since the heartbeat before; only of heartbeats and of leaving."""

    room_id: UUID
    kind: PlayerEventKind
    protocol: PlayerProtocol
    device: Device = Device.OTHER
    seconds: Annotated[int, Meta(ge=0, le=LONGEST_BEAT)] = 0


class ReportedEvents(Body):
    events: Annotated[list[ReportedEvent], Meta(min_length=1, max_length=MOST_EVENTS)]


class Accepted(Data):
    """How many of the events were of rooms that are live."""

    count: int


class RangeQuery(Query):
    """By default the last day. ``step`` is chosen to fit; old figures are kept by the hour."""

    start: Moment | None = msgspec.field(default=None, name="from")
    end: Moment | None = msgspec.field(default=None, name="to")
    step: Step | None = None


class Figures(Data):
    """``averageViewers`` is over the time in which something was live."""

    peak_viewers: int
    average_viewers: float
    watch_seconds: int
    joins: int
    followers_gained: int


class FiguresAt(Figures):
    at: Moment


class CurveView(Data):
    """``points`` are of those steps only in which there was something to count."""

    start: Moment = msgspec.field(name="from")
    end: Moment = msgspec.field(name="to")
    step: Step
    total: Figures
    points: list[FiguresAt]


class WatchedRoom(Data):
    id: UUID
    title: str
    peak_viewers: int
    watch_seconds: int


class DashboardView(CurveView):
    """``rooms``: the most watched first."""

    rooms: list[WatchedRoom]


class Share(Data):
    """What players of one kind reported."""

    name: str
    joins: int
    watch_seconds: int


class AudienceView(Data):
    """``viewers`` were signed in; the rest is what players of all viewers reported. By whole days, in UTC."""

    start: Moment = msgspec.field(name="from")
    end: Moment = msgspec.field(name="to")
    viewers: int
    new_viewers: int
    returning_viewers: int
    followers: int
    protocols: list[Share]
    devices: list[Share]
    stalls: int
    errors: int


class AnalyticsRoutes:
    def __init__(self, analytics: AnalyticsService, recorder: AnalyticsRecorder) -> None:
        self._analytics = analytics
        self._recorder = recorder

    def routes(self) -> Sequence[Route]:
        read: dict[str, Any] = {"access": Access.USER, "scope": "analytics:read", "query": RangeQuery}
        return [
            Route(
                "POST",
                "/analytics/events",
                self.take,
                "Report what a player did",
                body=ReportedEvents,
                response=Accepted,
                status=HTTPStatus.ACCEPTED,
                scope="playback:read",
            ),
            Route(
                "GET",
                "/rooms/{id}/analytics",
                self.room,
                "How your room was watched",
                response=CurveView,
                errors=[(HTTPStatus.FORBIDDEN, "not_room_owner"), (HTTPStatus.NOT_FOUND, "room_not_found")],
                **read,
            ),
            Route(
                "GET",
                "/analytics/dashboard",
                self.dashboard,
                "How your rooms were watched",
                response=DashboardView,
                **read,
            ),
            Route(
                "GET",
                "/analytics/audience",
                self.audience,
                "Who watched your rooms",
                response=AudienceView,
                **read,
            ),
        ]

    async def take(self, call: Call[ReportedEvents, None]) -> Accepted:
        events = [
            PlayerEvent(event.room_id, event.kind, event.protocol, event.device, event.seconds)
            for event in call.body.events
        ]
        return Accepted(count=self._recorder.take(events, call.principal.user_id))

    async def room(self, call: Call[None, RangeQuery]) -> CurveView:
        room_id = call.path_id("id", "room")
        curve = await self._analytics.room(call.principal, room_id, _range(call.query))
        return CurveView(**_curve(curve))

    async def dashboard(self, call: Call[None, RangeQuery]) -> DashboardView:
        dashboard = await self._analytics.dashboard(call.user_id, _range(call.query))
        rooms = [
            WatchedRoom(
                id=room.room_id,
                title=room.title,
                peak_viewers=room.peak_viewers,
                watch_seconds=room.watch_seconds,
            )
            for room in dashboard.rooms
        ]
        return DashboardView(**_curve(dashboard.curve), rooms=rooms)

    async def audience(self, call: Call[None, RangeQuery]) -> AudienceView:
        audience = await self._analytics.audience(call.user_id, _range(call.query))
        viewers = audience.viewers
        return AudienceView(
            start=audience.range.start,
            end=audience.range.end,
            viewers=viewers.count,
            new_viewers=viewers.new,
            returning_viewers=viewers.count - viewers.new,
            followers=viewers.followers,
            protocols=_shares(audience, "protocol"),
            devices=_shares(audience, "device"),
            stalls=sum(total.stalls for total in audience.players),
            errors=sum(total.errors for total in audience.players),
        )


def _range(query: RangeQuery) -> Range:
    return Range.of(query.start, query.end, query.step)


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "start": curve.range.start,
        "end": curve.range.end,
        "step": curve.range.step,
        "total": Figures(**_figures(curve.total)),
        "points": [FiguresAt(**_figures(point), at=point.at) for point in curve.points],
    }


def _figures(point: Point) -> dict[str, Any]:
    average = point.watch_seconds / point.live_seconds if point.live_seconds else 0.0
    return {
        "peak_viewers": point.peak_viewers,
        "average_viewers": round(average, 2),
        "watch_seconds": point.watch_seconds,
        "joins": point.joins,
        "followers_gained": point.followers_gained,
    }


def _shares(audience: Audience, attribute: str) -> list[Share]:
    joins = audience.joins_by(attribute)
    seconds = audience.watch_seconds_by(attribute)
    return [Share(name=name, joins=joins[name], watch_seconds=seconds[name]) for name in sorted(joins)]
