"""All about rooms behind the real dispatcher, with a media plane that tests play."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from control_api.ports import IngestHealth
from control_api.room_schemas import RoomViews
from control_api.routes.categories import CategoriesRoutes
from control_api.routes.ingest import IngestRoutes
from control_api.routes.room_feeds import RoomFeedsRoutes
from control_api.routes.rooms import RoomsRoutes
from control_api.routes.streams import StreamsRoutes
from control_api.routing import Noun, Route
from control_api.services.categories import CategoriesService
from control_api.services.ingest_health import IngestService
from control_api.services.room_feeds import RoomFeeds
from control_api.services.rooms import RoomsService
from control_api.services.streams import StreamsService
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Broadcasts, LiveFigures, Role, User, Users
from storage.stream_keys import StreamKeyDigester
from tests.control_api.sample import Sample
from tests.control_api.serving import serve

DIGESTER = StreamKeyDigester(b"secret")
MAX_ROOMS = 3


@dataclass
class FakeMedia:
    """Implements LiveRooms, IngestMonitor, StreamControl and IngestAddresses."""

    viewers: dict[UUID, int] = field(default_factory=dict)
    ended: dict[UUID, datetime] = field(default_factory=dict)
    health_by_room: dict[UUID, IngestHealth] = field(default_factory=dict)
    kicked: list[tuple[UUID, str]] = field(default_factory=list)
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    def is_live(self, room_id: UUID) -> bool:
        return room_id in self.viewers

    def viewer_count(self, room_id: UUID) -> int:
        return self.viewers.get(room_id, 0)

    def started_at(self, room_id: UUID) -> datetime | None:
        return self.since if room_id in self.viewers else None

    def ended_at(self, room_id: UUID) -> datetime | None:
        return self.ended.get(room_id)

    def viewer_counts(self) -> Mapping[UUID, int]:
        return self.viewers

    def health(self, room_id: UUID) -> IngestHealth | None:
        return self.health_by_room.get(room_id)

    def kick(self, room_id: UUID, reason: str) -> bool:
        self.kicked.append((room_id, reason))
        return self.viewers.pop(room_id, None) is not None

    def rtmp_url(self) -> str:
        return "rtmp://media.example/live"

    def whip_url(self, room_id: UUID) -> str:
        return f"https://media.example/whip/{room_id}"


class Nouns:
    """Several as one."""

    def __init__(self, *nouns: Noun) -> None:
        self._nouns = nouns

    def routes(self) -> list[Route]:
        return [route for noun in self._nouns for route in noun.routes()]


class RoomsWorld:
    """``alice`` and ``bob`` are users, ``admin`` is an administrator."""

    def __init__(self, database: Database, users: Mapping[str, User], media: FakeMedia, api: Sample) -> None:
        self.database = database
        self.users = users
        self.media = media
        self.api = api

    async def ok(self, method: str, path: str, user: str | None = None, **options: Any) -> Any:
        """The data of an answer that has to be a success."""
        status, body, _ = await self.api.call(method, path, user, **options)
        assert status in (200, 201), body
        return body["data"]

    async def refusal(self, method: str, path: str, user: str | None = None, **options: Any) -> Any:
        """(status, code) of an answer that has to be a failure."""
        status, body, _ = await self.api.call(method, path, user, **options)
        assert body["success"] is False
        return status, body["code"]

    async def fields(self, method: str, path: str, user: str | None = None, **options: Any) -> list[str]:
        """The fields that a 400 names."""
        status, body, _ = await self.api.call(method, path, user, **options)
        assert (status, body["code"]) == (400, "invalid_request"), body
        return [detail["field"] for detail in body["details"]]

    async def room(self, user: str = "alice", **fields: Any) -> Any:
        return await self.ok("POST", "/rooms", user, json={"title": "A room", **fields})

    async def go_live(self, room: Any, viewers: int = 0, node: str = "elsewhere") -> UUID:
        """On another node, as the database knows it; the broadcast's id."""
        broadcast_id = new_id()
        broadcasts = Broadcasts(self.database)
        now = datetime.now(UTC)
        await broadcasts.open(broadcast_id, UUID(room["id"]), node, now)
        await broadcasts.update([LiveFigures(broadcast_id, viewers, viewers)], now)
        return broadcast_id

    async def follow(self, follower: str, user: str) -> None:
        await self.database.execute(
            "INSERT INTO follows (follower_id, user_id) VALUES ($1, $2)",
            self.users[follower].id,
            self.users[user].id,
        )


async def make_users(database: Database) -> dict[str, User]:
    return {
        name: await Users(database).add(name, f"{name}@example.com", "hash", role)
        for name, role in (("alice", Role.USER), ("bob", Role.USER), ("admin", Role.ADMIN))
    }


async def make_world(
    database: Database, aiohttp_client: Callable[..., Awaitable[Any]], max_rooms: int = MAX_ROOMS
) -> RoomsWorld:
    users = await make_users(database)
    media = FakeMedia()
    views = RoomViews(media)
    rooms = RoomsService(database, DIGESTER, max_rooms)
    nouns = Nouns(
        RoomsRoutes(rooms, views),
        RoomFeedsRoutes(RoomFeeds(database), views),
        StreamsRoutes(StreamsService(database, rooms, media, media), views, media),
        IngestRoutes(IngestService(rooms, media, media)),
        CategoriesRoutes(CategoriesService(database)),
    )
    return RoomsWorld(database, users, media, await serve(nouns, database, aiohttp_client, *users.values()))
