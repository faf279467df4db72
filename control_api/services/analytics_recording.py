"""Writing down how rooms are watched: what the server sees of its viewers, and what their players report.

What the server sees (viewers, watch time) is certain; what players report (protocol, device, stalls) is as
honest as they are, so it is kept apart and bounded.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, Protocol
from uuid import UUID

import structlog

from storage.database import Executor
from storage.errors import DatabaseUnavailable, InvalidValue
from storage.ids import new_id
from storage.repositories.analytics import Analytics, Minute, PlayerUse, RoomMinute, ViewerUse

logger = structlog.get_logger("mediaserver.analytics")

MOST_VIEWERS: Final = 200_000
"""Signed-in viewers of which a minute is kept; more are not counted one by one."""
MOST_WAITING: Final = 60
"""Minutes that wait for a database that is away."""
MOST_SECONDS_PER_MINUTE: Final = 120
"""Of one viewer in one room: heartbeats may come late, but not for ever."""
MINUTE: Final = timedelta(minutes=1)


class LiveFigures(Protocol):
    """The streams of this node; see control_api.ports.LiveRooms."""

    def viewer_counts(self) -> Mapping[UUID, int]: ...

    def is_live(self, room_id: UUID) -> bool: ...


class PlayerEventKind(Enum):
    JOIN = "join"
    HEARTBEAT = "heartbeat"
    STALL = "stall"
    ERROR = "error"
    LEAVE = "leave"


class PlayerProtocol(Enum):
    FLV = "flv"
    WS_FLV = "ws-flv"
    MP4 = "mp4"
    TS = "ts"
    HLS = "hls"
    WHEP = "whep"


class Device(Enum):
    DESKTOP = "desktop"
    MOBILE = "mobile"
    TABLET = "tablet"
    TV = "tv"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class PlayerEvent:
    """``seconds`` were watched since the heartbeat before."""

    room_id: UUID
    kind: PlayerEventKind
    protocol: PlayerProtocol
    device: Device
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """Minutes become hours after ``minutes_kept_for``; who watched is forgotten after ``viewers_kept_for``.

    ``rooms_at_once`` rooms become hours in one step, ``steps`` steps in a minute.
    """

    sample_seconds: float = 5.0
    minutes_kept_for: timedelta = timedelta(days=30)
    viewers_kept_for: timedelta = timedelta(days=400)
    rooms_at_once: int = 200
    steps: int = 5


@dataclass(slots=True)
class _Seen:
    peak_viewers: int = 0
    watch_seconds: float = 0.0
    live_seconds: float = 0.0
    joins: int = 0


@dataclass(slots=True)
class _Use:
    joins: int = 0
    watch_seconds: int = 0
    stalls: int = 0
    errors: int = 0


@dataclass(slots=True)
class _Tally:
    """One minute, while it lasts."""

    at: datetime
    rooms: dict[UUID, _Seen] = field(default_factory=dict)
    players: dict[tuple[UUID, PlayerProtocol, Device], _Use] = field(default_factory=dict)
    viewers: dict[tuple[UUID, UUID], int] = field(default_factory=dict)

    def see(self, viewers: Mapping[UUID, int], seconds: float) -> None:
        for room_id, count in viewers.items():
            seen = self.rooms.setdefault(room_id, _Seen())
            seen.peak_viewers = max(seen.peak_viewers, count)
            seen.watch_seconds += count * seconds
            seen.live_seconds += seconds

    def hear(self, event: PlayerEvent, user_id: UUID | None) -> None:
        use = self.players.setdefault((event.room_id, event.protocol, event.device), _Use())
        seconds = 0
        match event.kind:
            case PlayerEventKind.JOIN:
                use.joins += 1
                self.rooms.setdefault(event.room_id, _Seen()).joins += 1
            case PlayerEventKind.HEARTBEAT | PlayerEventKind.LEAVE:
                seconds = event.seconds
                use.watch_seconds += seconds
            case PlayerEventKind.STALL:
                use.stalls += 1
            case PlayerEventKind.ERROR:
                use.errors += 1
        if user_id is not None:
            self._hear_viewer((event.room_id, user_id), seconds)

    def _hear_viewer(self, key: tuple[UUID, UUID], seconds: int) -> None:
        if key in self.viewers or len(self.viewers) < MOST_VIEWERS:
            self.viewers[key] = min(self.viewers.get(key, 0) + seconds, MOST_SECONDS_PER_MINUTE)

    def minute(self, node: str, writer: str) -> Minute:
        rooms = [
            RoomMinute(
                room_id, seen.peak_viewers, round(seen.watch_seconds), round(seen.live_seconds), seen.joins
            )
            for room_id, seen in self.rooms.items()
        ]
        players = [
            PlayerUse(
                room_id, protocol.value, device.value, use.joins, use.watch_seconds, use.stalls, use.errors
            )
            for (room_id, protocol, device), use in self.players.items()
        ]
        viewers = [ViewerUse(*key, seconds) for key, seconds in self.viewers.items()]
        return Minute(self.at, node, writer, rooms, players, viewers)

    @property
    def is_empty(self) -> bool:
        return not (self.rooms or self.players or self.viewers)


class AnalyticsRecorder:
    """``run`` is its one task. ``node`` names this server among others; ``now`` is the clock."""

    def __init__(
        self,
        database: Executor,
        live: LiveFigures,
        node: str,
        options: RecordingOptions | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._analytics = Analytics(database)
        self._live = live
        self._node = node
        # A process that starts again within a minute adds to what the one before saw of it.
        self._writer = f"{node} {new_id()}"
        self._options = options or RecordingOptions()
        self._now = now
        self._sampled_at = now()
        self._tally = _Tally(_minute_of(self._sampled_at))
        self._waiting: deque[Minute] = deque(maxlen=MOST_WAITING)

    def take(self, events: Sequence[PlayerEvent], user_id: UUID | None) -> int:
        """Count what a player reports of rooms that are live here; of how many events."""
        heard = [event for event in events if self._live.is_live(event.room_id)]
        for event in heard:
            self._tally.hear(event, user_id)
        return len(heard)

    async def run(self) -> None:
        """Until cancelled; the minute that has begun is then written, if the database answers."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._sample())
                tasks.create_task(self._keep_house())
        finally:
            self._turn(self._now() + MINUTE)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._options.sample_seconds):
                    await self.write()

    def sample(self) -> None:
        """Look at the viewers; the time since the last look counts as watched by as many."""
        now = self._now()
        seconds = (now - self._sampled_at).total_seconds()
        self._sampled_at = now
        self._turn(now)
        # After a pause (a laptop that slept), or with a clock put back, nobody knows what was watched.
        if 0 <= seconds <= 4 * self._options.sample_seconds:
            self._tally.see(self._live.viewer_counts(), seconds)

    async def write(self) -> None:
        """Write the minutes that are over; what cannot be written waits."""
        while self._waiting:
            try:
                await self._analytics.add(self._waiting[0])
            except (DatabaseUnavailable, InvalidValue) as error:
                logger.warning("analytics_not_written", minutes=len(self._waiting), error=str(error))
                return
            self._waiting.popleft()

    async def keep_house(self) -> int:
        """Make hours of old minutes and forget what is too old, a bounded amount; how many rooms it were."""
        now = self._now()
        before = (now - self._options.minutes_kept_for).replace(minute=0, second=0, microsecond=0)
        rolled = 0
        for _ in range(self._options.steps):
            rolled += (count := await self._analytics.roll_up(before, self._options.rooms_at_once))
            if not count:
                break
        await self._analytics.forget_writes(now - timedelta(days=1))
        await self._analytics.forget_viewers(now - self._options.viewers_kept_for, 5000)
        return rolled

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(self._options.sample_seconds)
            self.sample()
            await self.write()

    async def _keep_house(self) -> None:
        while True:
            try:
                await self.keep_house()
            except DatabaseUnavailable as error:
                logger.warning("analytics_not_rolled_up", error=str(error))
            await asyncio.sleep(MINUTE.total_seconds())

    def _turn(self, now: datetime) -> None:
        """Begin another minute when the last one is over."""
        minute = _minute_of(now)
        if minute <= self._tally.at:
            return
        if not self._tally.is_empty:
            if len(self._waiting) == MOST_WAITING:
                logger.warning("analytics_minute_lost", minute=self._waiting[0].at.isoformat())
            self._waiting.append(self._tally.minute(self._node, self._writer))
        self._tally = _Tally(minute)


def _minute_of(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
