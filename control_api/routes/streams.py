"""Broadcasts of a room, and what is live on the whole server."""

from datetime import datetime
from http import HTTPStatus
from uuid import UUID

from control_api.pagination import Page
from control_api.ports import IngestMonitor
from control_api.principal import Access
from control_api.room_schemas import RoomView, RoomViews
from control_api.routes.ingest import HealthView, health_view
from control_api.routing import Call, Reply, Route
from control_api.schemas import Data, PageQuery
from control_api.services.streams import StreamsService
from storage.repositories import Broadcast
from storage.repositories.broadcasts import LiveBroadcast

NOT_FOUND = (HTTPStatus.NOT_FOUND, "room_not_found")
NOT_OWNER = (HTTPStatus.FORBIDDEN, "not_room_owner")


class BroadcastView(Data):
    """``ended_at`` and ``duration_seconds`` are null while it runs; ``end_reason`` also for mere viewers."""

    id: UUID
    started_at: datetime
    ended_at: datetime | None
    duration_seconds: float | None
    peak_viewers: int
    end_reason: str | None


class StreamView(Data):
    """A live stream. ``health`` is null for one on another node."""

    room_id: UUID
    title: str
    username: str
    node: str
    started_at: datetime
    viewer_count: int
    peak_viewers: int
    health: HealthView | None


class StreamsRoutes:
    def __init__(self, streams: StreamsService, views: RoomViews, monitor: IngestMonitor) -> None:
        self._streams = streams
        self._views = views
        self._monitor = monitor

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/rooms/{id}/start",
                self.start,
                "Announce that the broadcast is about to begin; publishing itself needs only the stream key",
                Access.USER,
                response=RoomView,
                errors=(NOT_FOUND, NOT_OWNER),
                scope="streams:write",
                gives_etag=True,
            ),
            Route(
                "POST",
                "/rooms/{id}/end",
                self.end,
                "End the broadcast: the publisher is disconnected",
                Access.USER,
                response=RoomView,
                errors=(NOT_FOUND, NOT_OWNER),
                scope="streams:write",
                gives_etag=True,
            ),
            Route(
                "GET",
                "/rooms/{id}/broadcasts",
                self.history,
                "The room's broadcasts, the newest first",
                query=PageQuery,
                response=list[BroadcastView],
                errors=(NOT_FOUND,),
                scope="rooms:read",
            ),
            Route(
                "GET",
                "/admin/streams",
                self.running,
                "What is live on all nodes, the most watched first",
                Access.ADMIN,
                query=PageQuery,
                response=list[StreamView],
            ),
            Route(
                "DELETE",
                "/admin/streams/{id}",
                self.kick,
                "End the broadcast of the room with this id",
                Access.ADMIN,
                errors=((HTTPStatus.NOT_FOUND, "stream_not_found"),),
            ),
        ]

    async def start(self, call: Call[None, None]) -> Reply:
        room = await self._streams.start(call.principal, call.path_id("id", "room"))
        return Reply(self._views.view(room), version=room.version)

    async def end(self, call: Call[None, None]) -> Reply:
        room = await self._streams.end(call.principal, call.path_id("id", "room"), call.address)
        return Reply(self._views.view(room), version=room.version)

    async def history(self, call: Call[None, PageQuery]) -> Page[BroadcastView]:
        room_id = call.path_id("id", "room")
        page = await self._streams.history(call.principal, room_id, call.query.cursor, call.query.limit)
        return page.map(_broadcast_view)

    async def running(self, call: Call[None, PageQuery]) -> Page[StreamView]:
        page = await self._streams.running(call.query.cursor, call.query.limit)
        return page.map(self._stream_view)

    async def kick(self, call: Call[None, None]) -> None:
        await self._streams.kick(call.principal, call.path_id("id", "stream"), call.address)

    def _stream_view(self, stream: LiveBroadcast) -> StreamView:
        health = self._monitor.health(stream.room_id)
        return StreamView(
            room_id=stream.room_id,
            title=stream.title,
            username=stream.username,
            node=stream.node,
            started_at=stream.started_at,
            viewer_count=stream.viewers,
            peak_viewers=stream.peak_viewers,
            health=health_view(health) if health is not None else None,
        )


def _broadcast_view(broadcast: Broadcast) -> BroadcastView:
    return BroadcastView(
        id=broadcast.id,
        started_at=broadcast.started_at,
        ended_at=broadcast.ended_at,
        duration_seconds=broadcast.duration.total_seconds() if broadcast.duration is not None else None,
        peak_viewers=broadcast.peak_viewers,
        end_reason=broadcast.end_reason,
    )
