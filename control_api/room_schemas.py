"""Rooms as they are asked for and answered, and the view of one that joins the database and what is live."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType, field

from control_api.ports import LiveRooms
from control_api.schemas import Body, Data, UserSummary
from control_api.texts import LINE_PATTERN
from storage.repositories import Visibility
from storage.repositories.rooms import RoomDetails, RoomOwner

MAX_TITLE: Final = 100
MAX_DESCRIPTION: Final = 5000
MAX_TAGS: Final = 10
MAX_TAG: Final = 30
MAX_VIEWERS: Final = 1_000_000
SLUG_PATTERN: Final = "^[a-z0-9][a-z0-9-]{0,62}$"

Title = Annotated[str, Meta(min_length=1, max_length=MAX_TITLE, pattern=LINE_PATTERN)]
Description = Annotated[str, Meta(max_length=MAX_DESCRIPTION)]
Slug = Annotated[str, Meta(min_length=1, max_length=63, pattern=SLUG_PATTERN)]
Tag = Annotated[str, Meta(min_length=1, max_length=MAX_TAG, pattern=LINE_PATTERN)]
Tags = Annotated[list[Tag], Meta(max_length=MAX_TAGS)]
MaxViewers = Annotated[int, Meta(ge=1, le=MAX_VIEWERS)]
Moment = Annotated[datetime, Meta(tz=True)]


class NewRoom(Body):
    """``category`` is a category's slug; ``slug`` a name for addresses beside the id.

    ``low_latency``: viewers may watch by WHEP, half a second behind; without, by fMP4, HTTP-FLV and HLS.
    """

    title: Title
    slug: Slug | None = None
    description: Description = ""
    category: Slug | None = None
    tags: Tags = field(default_factory=list)
    visibility: Visibility = Visibility.PUBLIC
    age_restricted: bool = False
    max_viewers: MaxViewers | None = None
    low_latency: bool = True
    scheduled_for: Moment | None = None


class RoomChanges(Body):
    """What is left out stays as it is; null removes."""

    title: Title | UnsetType = UNSET
    slug: Slug | UnsetType | None = UNSET
    description: Description | UnsetType = UNSET
    category: Slug | UnsetType | None = UNSET
    tags: Tags | UnsetType = UNSET
    visibility: Visibility | UnsetType = UNSET
    age_restricted: bool | UnsetType = UNSET
    max_viewers: MaxViewers | UnsetType | None = UNSET
    low_latency: bool | UnsetType = UNSET
    scheduled_for: Moment | UnsetType | None = UNSET


class RoomView(Data):
    """A room. ``category`` is a slug, ``thumbnail`` an address.

    ``started_at`` is null unless it is live, ``ended_at`` null while it is and before the first broadcast.
    ``is_ready``: the streamer has said that the broadcast is about to begin. ``low_latency``: WHEP may be
    used.
    """

    id: UUID
    slug: str | None
    title: str
    description: str
    category: str | None
    category_name: str | None
    tags: list[str]
    visibility: Visibility
    age_restricted: bool
    max_viewers: int | None
    low_latency: bool
    is_live: bool
    is_ready: bool
    viewer_count: int
    started_at: datetime | None
    ended_at: datetime | None
    scheduled_for: datetime | None
    thumbnail: str | None
    streamer: UserSummary
    created_at: datetime


class RoomWithKey(RoomView):
    """The stream key is shown this once; the server keeps a digest."""

    stream_key: str


class RoomViews:
    """Makes views. What is live on this node is told from memory, the rest as the database has it."""

    def __init__(self, live: LiveRooms) -> None:
        self._live = live

    def view(self, room: RoomDetails) -> RoomView:
        return RoomView(**self._fields(room))

    def view_with_key(self, room: RoomDetails, stream_key: str) -> RoomWithKey:
        return RoomWithKey(**self._fields(room), stream_key=stream_key)

    def _fields(self, room: RoomDetails) -> dict[str, Any]:
        is_live = self._live.is_live(room.id) or self._is_live_elsewhere(room)
        settings = room.settings
        return {
            "id": room.id,
            "slug": settings.slug,
            "title": settings.title,
            "description": settings.description,
            "category": room.category_slug,
            "category_name": room.category_name,
            "tags": list(settings.tags),
            "visibility": settings.visibility,
            "age_restricted": settings.age_restricted,
            "max_viewers": settings.max_viewers,
            "low_latency": settings.low_latency,
            "is_live": is_live,
            "is_ready": not is_live and self._is_announced(room),
            "viewer_count": self._viewer_count(room) if is_live else 0,
            "started_at": (self._live.started_at(room.id) or room.live_since) if is_live else None,
            "ended_at": None if is_live else self._ended_at(room),
            "scheduled_for": settings.scheduled_for,
            "thumbnail": f"/api/v1/thumbnails/{room.thumbnail}" if room.thumbnail else None,
            "streamer": streamer(room.owner),
            "created_at": room.created_at,
        }

    def _viewer_count(self, room: RoomDetails) -> int:
        return self._live.viewer_count(room.id) if self._live.is_live(room.id) else room.viewers

    def _ended_at(self, room: RoomDetails) -> datetime | None:
        """The end of the last broadcast, here or elsewhere."""
        known = [moment for moment in (self._live.ended_at(room.id), room.ended_at) if moment is not None]
        return max(known, default=None)

    def _is_live_elsewhere(self, room: RoomDetails) -> bool:
        """As the database has it, unless that is a broadcast of this node that is over already."""
        ended_at = self._live.ended_at(room.id)
        return room.live_since is not None and (ended_at is None or room.live_since > ended_at)

    def _is_announced(self, room: RoomDetails) -> bool:
        """Whether the broadcast that ``ready_at`` announced is still to come."""
        ended_at = self._ended_at(room)
        return room.ready_at is not None and (ended_at is None or ended_at < room.ready_at)


def streamer(owner: RoomOwner) -> UserSummary:
    avatar = f"/api/v1/avatars/{owner.avatar}" if owner.avatar else None
    return UserSummary(id=owner.id, username=owner.username, display_name=owner.display_name, avatar=avatar)
